"""`freshet model`: the models that Triton serves, and their versions."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from rich.table import Table

    from freshet.served_models import ModelStatus

PLAIN_WIDTH = 200

commands = typer.Typer(no_args_is_help=True, help="The models that Triton serves.")

Name = Annotated[str, typer.Argument(metavar="MODEL", help="As in ranker.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="model")


@commands.command("list")
def list_models(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say of each model which versions there are, which is served, and how long it takes.

    Exit code 1 if a model that our Triton was told to load doesn't answer.
    """
    from rich.console import Console

    from freshet import served_models
    from serving.model_control import ModelServerError
    from stack import models

    settings = settings_of(context)
    with explained(ModelServerError):
        found = served_models.statuses(settings)
    if as_json:
        typer.echo(json.dumps([_described(one) for one in found], indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(_table(found))
    answering = {one.name for one in found if one.served}
    if not settings.triton.external and set(models.wanted(settings)) - answering:
        raise typer.Exit(1)


@commands.command()
def load(
    context: typer.Context,
    name: Name,
    *,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; else the newest there is.")
    ] = None,
) -> None:
    """Serve a version, or load it anew, without a failed request; the old one goes thereafter.

    A version that can't be loaded changes nothing: the old one goes on, and the reason is told.
    """
    from freshet import served_models
    from serving.model_control import ModelServerError

    with explained(ModelServerError):
        served = served_models.load(settings_of(context), name, version)
    typer.echo(f"{name}: version {served} is served")


@commands.command()
def unload(context: typer.Context, name: Name) -> None:
    """Serve no version of a model any more, until it is loaded or Triton is started."""
    from freshet import served_models
    from serving.model_control import ModelServerError

    with explained(ModelServerError):
        served_models.unload(settings_of(context), name)
    typer.echo(f"{name}: unloaded; what needs it does without it")


def _described(one: "ModelStatus") -> dict[str, object]:
    served = one.served
    return {**asdict(one), "served": served and served.version, "trouble": one.trouble}


def _table(found: Sequence["ModelStatus"]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    headings = ("model", "on disk", "served", "requests", "failed", "runs", "mean ms", "queued ms")
    for heading in (*headings, ""):
        table.add_column(heading)
    for one in found:
        table.add_row(one.name, " ".join(map(str, one.on_disk)) or "?", *_figures(one), one.trouble)
    return table


def _figures(one: "ModelStatus") -> list[str]:
    served = one.served
    if served is None:
        return ["[red]none[/]", "", "", "", "", ""]
    figures = (served.requests, served.failures, served.runs, served.mean_ms, served.queue_ms)
    return [str(served.version), *("" if figure is None else str(figure) for figure in figures)]
