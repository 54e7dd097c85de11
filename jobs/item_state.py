"""The job that keeps what is known of each item: its catalogue entry and how popular it is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment

from domain.neighbors import HALF_LIVES_MS
from jobs.folding import folded
from jobs.kafka import KafkaLog
from operators.fusion_weights import load_fusion
from operators.item_state import JOB, ItemFold, NeighborLimits
from schemas.topics import ITEM_PAIRS, ITEM_SIGNALS, ITEMS
from settings import Settings, load_settings

TOPICS = (ITEMS, ITEM_SIGNALS, ITEM_PAIRS)


def build(*, source: KeyedStream, sink: Callable[[DataStream], None], settings: Settings) -> None:
    """Wire the job between groups of messages by item and a sink of groups that leave."""
    sink(folded(source, partial(make_fold, settings), job=JOB, settings=settings))


def make_fold(settings: Settings) -> ItemFold:
    """The fold of an item."""
    streams = settings.streams
    chosen_ms = streams.neighbor_half_life_ms
    return ItemFold(
        max_ahead_ms=settings.events.max_ahead_ms,
        half_life_ms=streams.popularity_half_life_ms,
        neighbors=NeighborLimits(
            size=streams.neighbors,
            half_lives_ms=HALF_LIVES_MS if chosen_ms is None else (chosen_ms,),
            tell_every_ms=streams.item_tell_ms,
        ),
        fusion=None if not streams.fusion_weights else load_fusion(Path(streams.fusion_weights)),
    )


def wire(env: StreamExecutionEnvironment, settings: Settings) -> None:
    """Describe the job, from Kafka to Kafka, to an environment that will run it."""
    log = KafkaLog(env, settings=settings, job=JOB)
    build(source=log.source(TOPICS), sink=log.sink, settings=settings)


def main() -> None:
    """Run the job where `flink run` says."""
    env = StreamExecutionEnvironment.get_execution_environment()
    wire(env, load_settings())
    env.execute(JOB)


if __name__ == "__main__":
    main()
