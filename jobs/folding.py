"""From a fold to a job: what every job's `build` does."""

from collections.abc import Callable

from pyflink.datastream import DataStream, KeyedStream

from operators.flink import FoldOperator, group_type
from operators.fold import Fold, StateT
from settings import Settings


def folded(
    source: KeyedStream,
    make_fold: Callable[[], Fold[StateT]],
    *,
    job: str,
    settings: Settings,
    lifetime_days: int | None = None,
) -> DataStream:
    """What leaves for the groups of messages of a source."""
    operator = FoldOperator(
        make_fold,
        cached=settings.streams.cached_states,
        lifetime_days=lifetime_days,
    )
    return source.process(operator, output_type=group_type()).name(job).uid(job)
