"""`freshet api`: the HTTP service."""

import typer

from freshet.context import settings_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("api")(api)


def api(context: typer.Context) -> None:
    """Answer requests until stopped; servers that are away are done without."""
    from freshet.logs import configure
    from serving.run import run

    settings = settings_of(context)
    configure(settings.log_format, level=settings.log_level, private=True)
    run(settings)
