"""`freshet key`: the API keys of the HTTP service."""

import json
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from freshet.context import EXIT_WRONG_USE, settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from serving.callers import Scope
    from serving.keys import ApiKey

commands = typer.Typer(no_args_is_help=True, help="API keys: who may ask the HTTP service.")

Name = Annotated[str, typer.Argument(help="Whose key it is, for people who read the list.")]
KeyId = Annotated[str, typer.Argument(help="The eight characters behind fk_.")]
TierOption = Annotated[
    Literal["premium", "standard", "free"], typer.Option("--tier", help="Which limits hold.")
]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        help="serve, feedback or admin; may stand several times. Without any it is serve.",
    ),
]
Until = Annotated[str, typer.Option("--until", help="Its last moment, as in 2027-01-01T00:00:00Z.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="key")


@commands.command()
def create(
    context: typer.Context,
    name: Name,
    tier: TierOption = "standard",
    scope: Scopes = None,
    until: Until = "",
) -> None:
    """Make a key and print it, once: only its digest is kept."""
    from serving import key_file, keys

    file = _file(context)
    key_id, secret = secrets.token_hex(keys.ID_BYTES), secrets.token_urlsafe(keys.SECRET_BYTES)
    text = keys.text_of(key_id, secret)
    key = keys.ApiKey(
        key_id=key_id,
        name=_checked_name(name),
        digest=keys.digest_of(text),
        tier=tier,
        scopes=_checked_scopes(scope or ["serve"]),
        expires_at=_moment(until),
    )
    with explained(key_file.KeyFileError, OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with key_file.only_writer(file):
            known = key_file.read_keys(file) if file.exists() else {}
            key_file.write_keys(file, [*known.values(), key])
    typer.echo(text)
    typer.echo(f"key {key_id} is in {file}; it is shown this once", err=True)


@commands.command("list")
def list_keys(context: typer.Context) -> None:
    """Print what is known of each key as a line of JSON; their secrets are nowhere."""
    for key in _known(_file(context)).values():
        typer.echo(json.dumps(_described(key)))


@commands.command()
def revoke(context: typer.Context, key_id: KeyId) -> None:
    """End a key; services that run take note within a second or two."""
    from serving.key_file import KeyFileError, only_writer, write_keys

    file = _file(context)
    _known(file)
    with explained(KeyFileError, OSError), only_writer(file):
        known = _known(file)
        if key_id not in known:
            _fail(f"{file} has no key {key_id}; `freshet key list` shows those it has", code=1)
        revoked = replace(known[key_id], revoked_at=datetime.now(UTC).replace(microsecond=0))
        write_keys(file, {**known, key_id: revoked}.values())


def _file(context: typer.Context) -> Path:
    named = settings_of(context).serving.keys_file
    if not named:
        _fail("serving.keys_file is empty: name there the file that shall hold the keys")
    return Path(named).expanduser()


def _known(file: Path) -> "dict[str, ApiKey]":
    from serving.key_file import KeyFileError, read_keys

    with explained(KeyFileError):
        return read_keys(file)


def _described(key: "ApiKey") -> dict[str, object]:
    return {
        "id": key.key_id,
        "name": key.name,
        "tier": key.tier,
        "scopes": sorted(key.scopes),
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
    }


def _checked_name(name: str) -> str:
    from serving.key_file import NAME

    if not re.fullmatch(NAME, name):
        raise typer.BadParameter(f"{name!r} must be 1 to 64 letters, digits, blanks or . _ @ -")
    return name


def _checked_scopes(given: list[str]) -> "frozenset[Scope]":
    from serving.callers import Scope

    known: tuple[Scope, ...] = get_args(Scope)
    if strange := sorted(set(given) - set(known)):
        raise typer.BadParameter(f"--scope {strange[0]!r}: allowed are {', '.join(known)}")
    return frozenset(one for one in known if one in given)


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time; write 2027-01-01T00:00:00Z") from error
    if moment.tzinfo is None or moment <= datetime.now(UTC):
        raise typer.BadParameter(f"{text!r} must say its zone, and must not be past")
    return moment


def _fail(message: str, *, code: int = EXIT_WRONG_USE) -> None:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)
