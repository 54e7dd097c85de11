"""`freshet answer`: make an answer again from what was kept of it."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from serving.evidence.retelling import Recorded, Replayed
    from settings import Settings

commands = typer.Typer(no_args_is_help=True, help="One answer: make it again.")

TIMEOUT_MS = 2_000


@commands.callback()
def _group() -> None:
    """Keep `replay` a word of its own: a group of one command would take its place."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="answer")


@commands.command()
def replay(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The answer's request_id.")],
    *,
    body: Annotated[bool, typer.Option("--body", help="Print the answer's body alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Make an answer again; exit code 1 if it isn't kept, or has other bytes than it had."""
    from serving.evidence.reading import NotKeptError
    from stores.errors import StoreError

    with explained(StoreError, NotKeptError):
        recorded, again = asyncio.run(_replayed(settings_of(context), request_id))
    if body:
        typer.echo(again.body)
    elif as_json:
        typer.echo(json.dumps(_plain(recorded, again), indent=2))
    else:
        typer.echo("\n".join(_shown(recorded, again)))
    if not again.same:
        raise typer.Exit(1)


async def _replayed(settings: "Settings", request_id: str) -> "tuple[Recorded, Replayed]":
    from serving.evidence.reading import recorded
    from serving.evidence.retelling import replay
    from stores.traces import TraceStore

    async with TraceStore(settings.redis.url, timeout_ms=TIMEOUT_MS) as store:
        found = await recorded(store, request_id)
        return found, await replay(found)


def _plain(recorded: "Recorded", again: "Replayed") -> dict[str, Any]:
    answer, ranking = recorded.answer, recorded.ranking
    return {
        "request_id": answer.request_id,
        "user_id": answer.user_id,
        "endpoint": f"/v1/{answer.shape}",
        "same_bytes": again.same,
        "bytes": len(again.body),
        "differences": list(again.differences),
        "versions": {
            "user": answer.user.version,
            "embedding": answer.user.embedding_version,
            "model": ranking.model_version,
            "catalogue": answer.catalogue_version,
        },
        "places": [place.item_id for place in answer.places],
    }


def _shown(recorded: "Recorded", again: "Replayed") -> list[str]:
    plain = _plain(recorded, again)
    said = "the same bytes" if again.same else "other bytes than were sent"
    versions = ", ".join(f"{name} {version}" for name, version in plain["versions"].items())
    return [
        f"answer {plain['request_id']} of {plain['endpoint']} to {plain['user_id']}: {said}",
        f"  {plain['bytes']} bytes, {len(plain['places'])} places, of {versions}",
        *(f"  {difference}" for difference in again.differences),
    ]
