"""`freshet backfill`: live a log again in one go, and compare."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from freshet.backfill_check import Compared
    from freshet.backfill_run import Stretch
    from settings import Settings

SHOWN = 10


class Source(StrEnum):
    """Where the log is read."""

    KAFKA = "kafka"
    LAKE = "lake"
    CSV = "csv"
    AVRO = "avro"


FILES = (Source.CSV, Source.AVRO)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backfill)


def backfill(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The file of --from csv, or of --from avro.")
    ] = None,
    *,
    source: Annotated[Source, typer.Option("--from", help="Where to read.")] = Source.KAFKA,
    to: Annotated[
        str, typer.Option(help="A directory for states and last messages; or redis, or milvus.")
    ] = "",
    until: Annotated[
        datetime | None, typer.Option(help="Leave out what the log took then (UTC) or later.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with Redis; exit code 1 if it differs.")
    ] = False,
) -> None:
    """Live the log in batch by the jobs' own folds: the states and messages of a living job."""
    from freshet.event_files import EventFileError
    from stores.errors import StoreError
    from stores.lake.errors import LakeError

    if (file is None) is (source in FILES):
        raise typer.BadParameter("a file belongs to --from csv and --from avro, and to no other")
    if not to and not check:
        raise typer.BadParameter("say where to (--to), or that you want to compare (--check)")
    settings = settings_of(context)
    until_ms = int(until.replace(tzinfo=UTC).timestamp() * 1000) if until else None
    with (
        explained(StoreError, EventFileError, LakeError),
        tempfile.TemporaryDirectory(prefix="freshet-backfill-") as own,
    ):
        directory = Path(own if to in {"", "redis", "milvus"} else to)
        with _stretch(settings, source, file, until_ms=until_ms) as stretch:
            _live(settings, stretch, directory, to=to, until_ms=until_ms)
        if check and not _same(settings, directory):
            raise typer.Exit(1)


@contextmanager
def _stretch(
    settings: "Settings", source: Source, file: Path | None, *, until_ms: int | None
) -> Iterator["Stretch"]:
    from rich.console import Console

    from demo.progress import Counter
    from freshet.backfill_run import SOURCES, Asked

    size = file.stat().st_size if file and file.is_file() else 0
    counter = Counter("bytes read", total=size, console=Console(stderr=True))
    asked = Asked(say=_to_stderr, report=counter.reach, until_ms=until_ms, file=file)
    with ExitStack() as reading:
        with counter if file else nullcontext():
            stretch = reading.enter_context(SOURCES[source](settings, asked))
            counter.reach(size)
        yield stretch


def _live(
    settings: "Settings", stretch: "Stretch", directory: Path, *, to: str, until_ms: int | None
) -> None:
    from rich.console import Console

    from demo.progress import Counter
    from freshet import backfill_run

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
    from freshet import backfill_check

    total = backfill_check.comparable(directory)
    with Counter("rows compared", total=total, console=Console(stderr=True)) as counter:
        compared = backfill_check.compare(settings, directory, report=counter.reach)
    typer.echo(_told(compared))
    return not compared.different


def _told(compared: "Compared") -> str:
    different = compared.different
    named = f": {', '.join(different[:SHOWN])}" if different else ""
    return (
        f"{compared.same} as in Redis, {compared.absent} not there any more, "
        f"{len(different)} different{named}"
    )


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
