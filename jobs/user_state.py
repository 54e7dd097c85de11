"""The job that keeps what is known of each user."""

from collections.abc import Callable
from functools import partial

from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment

from jobs.kafka import KafkaLog
from operators.flink import FoldOperator, outgoing_type
from operators.user_state import JOB, UserFold
from schemas.topics import USER_EVENTS
from settings import Settings, load_settings
from stores.item_vectors import ItemVectors


def build(*, source: KeyedStream, sink: Callable[[DataStream], None], settings: Settings) -> None:
    """Wire the job between a stream of `Incoming` by user and a sink of outgoing messages."""
    operator = FoldOperator(
        partial(make_fold, settings), lifetime_days=settings.streams.user_lifetime_days
    )
    users = source.process(operator, output_type=outgoing_type())
    sink(users.name(JOB).uid(JOB))


def make_fold(settings: Settings) -> UserFold:
    """The fold of a user, with the vectors of items from Redis."""
    return UserFold(
        ItemVectors(settings.redis.url),
        max_age_ms=settings.events.max_age_ms,
        max_ahead_ms=settings.events.max_ahead_ms,
        dedup_ids=settings.streams.dedup_ids,
    )


def main() -> None:
    """Describe the job to Flink, which runs it."""
    settings = load_settings()
    env = StreamExecutionEnvironment.get_execution_environment()
    log = KafkaLog(env, bootstrap=settings.kafka.bootstrap, job=JOB)
    build(source=log.source([USER_EVENTS]), sink=log.sink, settings=settings)
    env.execute(JOB)


if __name__ == "__main__":
    main()
