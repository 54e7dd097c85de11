"""`freshet stack`: the real servers on this machine, up, down, and how they are."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from freshet.context import settings_of

Parts = Annotated[list[str] | None, typer.Argument(metavar="[PART]...", help="Some of them only.")]

PLAIN_WIDTH = 200

commands = typer.Typer(no_args_is_help=True, help="The servers on this machine.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="stack")


@commands.command()
def up(
    context: typer.Context,
    parts: Parts = None,
    *,
    with_service: Annotated[
        bool, typer.Option("--with-service", help="Also our own writers and HTTP service.")
    ] = False,
) -> None:
    """Start the servers (all, or the named parts) and wait until each is well."""
    from freshet.progress import Progress
    from stack import lifecycle, preflight

    settings = settings_of(context)
    names = parts or list(lifecycle.SERVERS)
    names += [name for name in lifecycle.SERVICE if with_service and name not in names]
    preflight.require(preflight.FOR_STACK)
    with Progress(names) as progress:
        lifecycle.up(settings, names, progress=progress.show)
    typer.echo(f"data and logs: {settings.data_dir.resolve()}")


@commands.command()
def prepare(context: typer.Context) -> None:
    """Download and unpack what `up` needs, so that it starts at once, and without a network."""
    from stack import lifecycle, preflight

    preflight.require(preflight.FOR_STACK)
    lifecycle.fetch(settings_of(context))


@commands.command()
def down(context: typer.Context, parts: Parts = None) -> None:
    """Stop what `up` started (all, or the named parts), whatever became of it since."""
    from stack import lifecycle

    stopped = lifecycle.down(settings_of(context), parts or [])
    typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@commands.command()
def status(
    context: typer.Context,
    parts: Parts = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say how each part is; exit code 1 if one died or can't be reached."""
    from rich.console import Console

    from freshet.progress import status_table
    from stack import lifecycle

    settings = settings_of(context)
    found = lifecycle.status(settings, parts or [])
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(status_table(found))
        for report in lifecycle.reports(settings, found):
            typer.echo(f"\n{report}")
    if not all(one.is_well for one in found):
        raise typer.Exit(1)


@commands.command()
def logs(
    context: typer.Context,
    part: Annotated[str | None, typer.Argument(help="A part, or one of its programs.")] = None,
    *,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing.")] = False,
) -> None:
    """Print the last lines of the logs of a part, of one program, or of all."""
    from stack import logs as stack_logs

    settings = settings_of(context)
    for line in stack_logs.last_lines(settings, part, lines=lines):
        typer.echo(line)
    if follow:
        _follow(stack_logs.new_lines(settings, part))


def _follow(new_lines: Iterator[str]) -> None:
    try:
        for line in new_lines:
            typer.echo(line)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return
