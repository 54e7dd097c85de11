"""`freshet demo`: everything up, a shop's history in it, and a list that changes."""

import json
from typing import Annotated

import typer

from freshet.context import settings_of

WIDTH_WITHOUT_TERMINAL = 150


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="A summary as JSON at the end; all else to stderr.")
    ] = False,
) -> None:
    """Start everything, load a shop's history, and show a recommendation change.

    It leaves everything running; running it again uses what is there.
    """
    from rich.console import Console

    from freshet.demonstration import DemoError, Demonstration, summary
    from freshet.failing import explained

    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=WIDTH_WITHOUT_TERMINAL)
    demonstration = Demonstration(settings=settings_of(context), console=console)
    with explained(DemoError):
        outcome = demonstration.run()
    if as_json:
        typer.echo(json.dumps(summary(demonstration, outcome), indent=2))
