"""`freshet topics`: the declared Kafka topics, and how Kafka has them."""

import typer

from freshet.context import settings_of
from freshet.failing import explained

commands = typer.Typer(no_args_is_help=True, help="Kafka's topics.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="topics")


@commands.command()
def create(context: typer.Context) -> None:
    """Add the topics that are missing; those that are there are kept as they are."""
    from stores.errors import LogUnavailable
    from stores.event_log import create_topics

    kafka = settings_of(context).kafka
    with explained(LogUnavailable):
        report = create_topics(
            kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication
        )
    for name in report.created:
        typer.echo(f"created {name}")
    for state in report.different:
        typer.echo(f"{state.name} has {state.partitions} partitions, not {state.wanted}: kept")
    if not report.created and not report.different:
        typer.echo("all are there")


@commands.command("list")
def list_topics(context: typer.Context) -> None:
    """Print each declared topic with the partitions that it has; 0 where it is missing."""
    from stores.errors import LogUnavailable
    from stores.event_log import topic_states

    kafka = settings_of(context).kafka
    with explained(LogUnavailable):
        states = topic_states(kafka.bootstrap, scale=kafka.partition_scale)
    for state in states:
        typer.echo(f"{state.name:<24} {state.partitions:>4} of {state.wanted} partitions")
