"""`freshet writers`: carry what the jobs emit into Redis and Milvus."""

import typer

from freshet.context import settings_of
from freshet.failing import explained

commands = typer.Typer(no_args_is_help=True, help="From Kafka into Redis and Milvus.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="writers")


@commands.callback()
def _group() -> None:
    """Keep `run` a command of its own."""


@commands.command()
def run(context: typer.Context) -> None:
    """Write until stopped; waits for servers that are away."""
    from freshet.logs import configure
    from writers.run import WriterCrashed
    from writers.run import run as run_writers

    settings = settings_of(context)
    configure(settings.log_format)
    with explained(WriterCrashed):
        run_writers(settings)
