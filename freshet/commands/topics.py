"""`freshet topics`: the declared Kafka topics, and how Kafka has them."""

from typing import Annotated

import typer

from freshet.context import settings_of

commands = typer.Typer(no_args_is_help=True, help="Kafka's topics.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="topics")


@commands.command()
def create(context: typer.Context) -> None:
    """Add the topics that are missing; say which have other partitions than declared."""
    from stores.event_log import create_topics

    kafka = settings_of(context).kafka
    report = _or_exit(
        lambda: create_topics(
            kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication
        )
    )
    for name in report.created:
        typer.echo(f"created {name}")
    for state in report.different:
        typer.echo(f"{state.name} has {state.partitions} partitions, not {state.wanted}: kept")
    if not report.created and not report.different:
        typer.echo("all are there")
