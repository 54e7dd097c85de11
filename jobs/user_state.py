"""The job that keeps what is known of each user."""

from collections.abc import Callable
from functools import partial

from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment

from domain.attribution import AttributionRules
from jobs.folding import folded
from jobs.kafka import KafkaLog
from operators.text_emotion import TextClassifier
from operators.user_state import JOB, UserFold
from schemas.topics import PERSONALIZATION_RESULTS, USER_EVENTS
from settings import Settings, load_settings
from stores.item_vectors import ItemVectors

TOPICS = (USER_EVENTS, PERSONALIZATION_RESULTS)


def build(*, source: KeyedStream, sink: Callable[[DataStream], None], settings: Settings) -> None:
    """Wire the job between groups of messages by user and a sink of groups that leave."""
    lifetime_days = settings.streams.user_lifetime_days
    make = partial(make_fold, settings)
    sink(folded(source, make, job=JOB, settings=settings, lifetime_days=lifetime_days))


def make_fold(settings: Settings) -> UserFold:
    """The fold of a user, with items from Redis and the classifier that ships with us."""
    return UserFold(
        ItemVectors(settings.redis.url),
        max_age_ms=settings.events.max_age_ms,
        max_ahead_ms=settings.events.max_ahead_ms,
        dedup_ids=settings.streams.dedup_ids,
        rules=AttributionRules(
            window_ms=settings.streams.attribution_window_ms,
            pending_requests=settings.streams.pending_requests,
        ),
        read_text=TextClassifier(),
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
