"""The job that keeps what is known of each item: its catalogue entry and how popular it is."""

from collections.abc import Callable
from functools import partial

from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment

from jobs.kafka import KafkaLog
from operators.flink import FoldOperator, outgoing_type
from operators.item_state import JOB, ItemFold
from schemas.topics import ITEM_SIGNALS, ITEMS
from settings import Settings, load_settings


def build(*, source: KeyedStream, sink: Callable[[DataStream], None], settings: Settings) -> None:
    """Wire the job between a stream of `Incoming` by item and a sink of outgoing messages."""
    operator = FoldOperator(partial(make_fold, settings))
    items = source.process(operator, output_type=outgoing_type())
    sink(items.name(JOB).uid(JOB))


def make_fold(settings: Settings) -> ItemFold:
    """The fold of an item."""
    return ItemFold(
        max_ahead_ms=settings.events.max_ahead_ms,
        half_life_ms=settings.streams.popularity_half_life_ms,
    )


def main() -> None:
    """Describe the job to Flink, which runs it."""
    settings = load_settings()
    env = StreamExecutionEnvironment.get_execution_environment()
    log = KafkaLog(env, bootstrap=settings.kafka.bootstrap, job=JOB)
    build(source=log.source([ITEMS, ITEM_SIGNALS]), sink=log.sink, settings=settings)
    env.execute(JOB)


if __name__ == "__main__":
    main()
