"""`freshet config`: the settings in force."""

import json
from typing import Annotated

import typer

from freshet.context import settings_of
from settings.load import shown, toml_lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("config")(config)


def config(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print the settings in force as TOML, secrets masked."""
    values = shown(settings_of(context))
    typer.echo(json.dumps(values, indent=2) if as_json else "\n".join(toml_lines(values)))
