"""`freshet writers`: carry what the jobs emit into Redis and Milvus."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from settings import Settings
    from writers.targets import Target


class Store(StrEnum):
    """A store that can be filled again."""

    REDIS = "redis"
    MILVUS = "milvus"


commands = typer.Typer(no_args_is_help=True, help="From Kafka into Redis and Milvus.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="writers")


@commands.command()
def run(context: typer.Context) -> None:
    """Write until stopped; waits for servers that are away."""
    from freshet.logs import configure
    from writers.run import WriterCrashed
    from writers.run import run as run_writers

    settings = settings_of(context)
    configure(settings.log_format, level=settings.log_level)
    with explained(WriterCrashed):
        run_writers(settings)


@commands.command()
def refill(
    context: typer.Context,
    store: Annotated[Store, typer.Argument(metavar="redis|milvus", help="Which store.")],
) -> None:
    """Write all that the log still holds for a store: one that has lost something is whole again.

    Redis may be refilled beside running writers; for Milvus stop them first.
    """
    from rich.console import Console

    from demo.progress import Counter
    from stores.errors import StoreError
    from stores.log_order import OrderedLog
    from writers.refill import refill as refill_store

    settings = settings_of(context)
    with explained(StoreError):
        target = _target(settings, store)
        with OrderedLog(settings.kafka.bootstrap, target.topics) as log:
            counter = Counter("messages", total=log.total, console=Console(stderr=True))
            with counter:
                refused = refill_store(target, iter(log), report=counter.reach)
    typer.echo(f"{store}: {counter.done:,} messages written again, {refused:,} could not be used")


def _target(settings: "Settings", store: Store) -> "Target":
    from writers.targets import MilvusTarget, RedisTarget

    if store is Store.REDIS:
        return RedisTarget(settings.redis.url)
    return MilvusTarget(settings.milvus.uri, token=settings.milvus.token.get_secret_value())
