"""`freshet user`: look at one user, forget them, and keep what they consent to."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from rich.table import Table

    from freshet.user_erasure import Place

commands = typer.Typer(no_args_is_help=True, help="One user: look, forget, consent.")

UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="user")


@commands.command()
def show(context: typer.Context, user_id: UserId, *, as_json: AsJson = False) -> None:
    """Show all that the stores hold of a user, decoded; exit code 1 if nothing is known."""
    from serving.known_user import lookup_of
    from stores.errors import StoreError

    async def look() -> dict[str, Any]:
        async with lookup_of(settings_of(context)) as lookup:
            return await lookup.known(user_id, now_ms=time.time_ns() // 1_000_000)

    with explained(StoreError):
        told = asyncio.run(look())
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        typer.echo("\n".join(_shown(told)))
    if not told["known"]:
        raise typer.Exit(1)


@commands.command()
def forget(
    context: typer.Context,
    user_id: UserId,
    *,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait until nothing is left.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Delete a user everywhere; exit code 1 if something is left when the time is over."""
    from rich.console import Console

    from demo.progress import Counter
    from freshet.user_erasure import forget as forget_user
    from stores.errors import LogUnavailable

    console = Console(stderr=True)
    with (
        explained(LogUnavailable),
        Counter("places clear", total=PLACES, console=console) as counter,
    ):
        found = asyncio.run(
            forget_user(
                settings_of(context),
                user_id,
                timeout_s=timeout_s,
                report=lambda done, places: counter.reach(done + PLACES - places),
            )
        )
    if as_json:
        typer.echo(json.dumps({"user_id": user_id, "places": [_plain(one) for one in found]}))
    else:
        Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(_table(found))
    if not all(place.is_clear for place in found):
        raise typer.Exit(1)


@commands.command()
def consent(
    context: typer.Context,
    user_id: UserId,
    *,
    granted: Annotated[
        bool, typer.Option("--grant/--withdraw", help="What the user says.", show_default=False)
    ],
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0, help="Seconds to wait until it is in force.")
    ] = 30.0,
) -> None:
    """Say for a user whether we may personalize; exit code 1 if it isn't in force in time."""
    from freshet import user_erasure
    from stores.errors import StoreError

    settings = settings_of(context)
    event = user_erasure.consent_event(user_id, granted=granted, now_ms=time.time_ns() // 1_000_000)
    with explained(StoreError):
        user_erasure.send(settings, event)
        in_force = asyncio.run(
            user_erasure.until_consent(settings, user_id, granted=granted, timeout_s=timeout_s)
        )
    if not in_force:
        typer.echo(f"sent, but not in force after {timeout_s:g} s; does job user_state run?")
        raise typer.Exit(1)
    typer.echo(f"{user_id}: personalization {'granted' if granted else 'withdrawn'}")


PLAIN_WIDTH = 200
# At most: the job, Redis, Milvus, records and lake.
PLACES = 5


def _shown(told: dict[str, Any]) -> list[str]:
    """A line a key, and of the context a line a part."""
    lines = [f"user {told['user_id']} as of {told['as_of']}"]
    if not told["known"]:
        lines.append("nothing is known of this user")
    for name, stored in told["redis"].items():
        lines.append(f"{name} (for {stored['ttl_s']} s more)")
        lines += _parts(stored["value"])
    return [*lines, "Milvus", *_parts(told["milvus"])]


def _parts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"  {name:<22} {_line(part)}" for name, part in value.items()]
    return [f"  {_line(part)}" for part in (value if isinstance(value, list) else [value])]


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(place: "Place") -> dict[str, Any]:
    names = ("name", "unit", "before", "left", "later", "trouble")
    return {name: getattr(place, name) for name in names}


def _table(found: "Sequence[Place]") -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("place", "found", "left", ""):
        table.add_column(heading)
    for one in found:
        note = one.trouble or (one.later if one.left else "")
        table.add_row(one.name, f"{one.before} {one.unit}", str(one.left), note)
    return table
