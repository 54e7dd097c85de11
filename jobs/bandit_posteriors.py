"""The job that keeps what rewards teach of each item in each segment."""

from collections.abc import Callable
from functools import partial

from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment

from domain.bandit import BanditRules
from jobs.folding import folded
from jobs.kafka import KafkaLog
from operators.bandit_posteriors import JOB, PosteriorFold
from schemas.topics import BANDIT_UPDATES
from settings import Settings, load_settings

TOPICS = (BANDIT_UPDATES,)


def build(*, source: KeyedStream, sink: Callable[[DataStream], None], settings: Settings) -> None:
    """Wire the job between groups of rewards by posterior and a sink of groups that leave."""
    sink(folded(source, partial(make_fold, settings), job=JOB, settings=settings))


def make_fold(settings: Settings) -> PosteriorFold:
    """The fold of a posterior."""
    streams = settings.streams
    rules = BanditRules(
        prior_alpha=streams.bandit_prior_alpha,
        prior_beta=streams.bandit_prior_beta,
        half_life_ms=streams.bandit_half_life_ms,
        dedup_ids=streams.bandit_dedup_ids,
    )
    return PosteriorFold(rules=rules, max_ahead_ms=settings.events.max_ahead_ms)


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
