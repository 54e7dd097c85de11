"""`freshet backfill`: live a log again in one go, and compare."""

import json
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from freshet.backfill_run import Compared
    from settings import Settings

SHOWN = 10


class Source(StrEnum):
    """Where the log is read."""

    KAFKA = "kafka"
    LAKE = "lake"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backfill)


def backfill(
    context: typer.Context,
    *,
    source: Annotated[Source, typer.Option("--from", help="Where to read.")] = Source.KAFKA,
    to: Annotated[
        str, typer.Option(help="A directory for states and last messages; or redis, or milvus.")
    ] = "",
    until: Annotated[
        datetime | None, typer.Option(help="Leave out what the log took then (UTC) or later.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare users with Redis; exit code 1 if they differ.")
    ] = False,
) -> None:
    """Live the log in batch by the jobs' own folds: the states and messages of a living job."""
    from stores.errors import StoreError

    if not to and not check:
        raise typer.BadParameter("say where to (--to), or that you want to compare (--check)")
    settings = settings_of(context)
    until_ms = int(until.replace(tzinfo=UTC).timestamp() * 1000) if until else None
    with explained(StoreError), tempfile.TemporaryDirectory(prefix="freshet-backfill-") as own:
        directory = Path(own if to in {"", "redis", "milvus"} else to)
        _live(settings, source, directory, to=to, until_ms=until_ms)
        if check and not _same(settings, directory):
            raise typer.Exit(1)


def _live(
    settings: "Settings", source: Source, directory: Path, *, to: str, until_ms: int | None
) -> None:
    from rich.console import Console

    from demo.progress import Counter
    from freshet import backfill_run

    with backfill_run.SOURCES[source](settings, until_ms=until_ms) as stretch:
        console = Console(stderr=True)
        with Counter("messages lived", total=stretch.total, console=console) as counter:
            lived = backfill_run.run(
                settings,
                stretch,
                directory=directory,
                sink=backfill_run.sink_of(settings, to),
                until_ms=until_ms,
                report=counter.reach,
            )
    sys.stdout.write(json.dumps(asdict(lived)) + "\n")


def _same(settings: "Settings", directory: Path) -> bool:
    from rich.console import Console

    from demo.progress import Counter
    from freshet import backfill_run

    total = backfill_run.comparable(directory)
    with Counter("rows compared", total=total, console=Console(stderr=True)) as counter:
        compared = backfill_run.compare(settings, directory, report=counter.reach)
    typer.echo(_told(compared))
    return not compared.different


def _told(compared: "Compared") -> str:
    different = compared.different
    named = f": {', '.join(different[:SHOWN])}" if different else ""
    return (
        f"{compared.same} as in Redis, {compared.absent} not there any more, "
        f"{len(different)} different{named}"
    )
