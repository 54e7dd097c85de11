"""`freshet lake`: the Parquet files of everything that happened."""

import json
import time
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from stores.lake.compaction import Compacted
    from stores.lake.status import LakeStatus

commands = typer.Typer(no_args_is_help=True, help="Everything that happened, as Parquet.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="lake")


@commands.command()
def status(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what there is: rows, files and hours of each table, and who asked to be forgotten."""
    from stores.lake.errors import LakeError
    from stores.lake.status import status as lake_status

    with explained(LakeError):
        found = lake_status(settings_of(context).lake_directory)
    typer.echo(json.dumps(asdict(found), indent=2) if as_json else _described(found))


@commands.command()
def compact(
    context: typer.Context,
    *,
    day: Annotated[
        str | None, typer.Option(help="Put together the hours of this day (UTC) only.")
    ] = None,
) -> None:
    """Make one file of each hour that is over, and let erased users go from every hour."""
    from stores.lake.compaction import Compaction
    from stores.lake.errors import LakeError

    lake = settings_of(context).lake_directory
    now_ms = time.time_ns() // 1_000_000
    with explained(LakeError):
        done = Compaction(lake, now_ms, day=_day(day)).run()
    typer.echo("\n".join(_told(done)))


def _day(day: str | None) -> str | None:
    try:
        return None if day is None else date.fromisoformat(day).isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"{day!r} is no day; it reads 2026-11-21") from error


def _described(found: "LakeStatus") -> str:
    lines = [
        f"{one.name:<12} {one.rows:>12} rows {one.files:>6} files {one.bytes / 1e6:>9.1f} MB"
        f"  {one.hours} hours" + (f", {one.first} to {one.last}" if one.hours else "")
        for one in found.tables
    ]
    replaced = sum(one.replaced for one in found.tables)
    erasures = f"{found.erasures} erasures in force, {found.erasures_waiting} not yet"
    return "\n".join(
        [*lines, f"{erasures}; {replaced} replaced files wait to be deleted", found.directory]
    )


def _told(done: "Compacted") -> list[str]:
    lines = [f"{done.files_before} files of {done.hours} hours became {done.hours}"]
    if done.rows_erased:
        lines.append(f"{done.rows_erased} rows of erased users are gone")
    if done.rows_doubled:
        lines.append(f"{done.rows_doubled} rows that were there twice are there once")
    if done.files_waiting:
        lines.append(
            f"{done.files_waiting} replaced files could not be deleted, because somebody reads; "
            "run it again later"
        )
    return lines
