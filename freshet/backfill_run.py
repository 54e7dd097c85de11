"""Runs a backfill: where it reads, and where it writes."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Self

from freshet.backfill import Backfill, BackfillJob
from freshet.backfill_sinks import LastMessages, Sink, StoreSink, states_file
from freshet.backfill_states import KeptBytes
from freshet.event_files import BadRow, EventFileError, FiledEvents, avro_events, csv_events
from freshet.job_submission import JOBS
from operators.fold import Outgoing
from schemas.lake import LAKE_TABLES
from schemas.topics import ITEMS, Topic
from settings import Settings
from stores.errors import LogUnavailable
from stores.event_log import LogMessage
from stores.log_order import OrderedLog
from writers.targets import MilvusTarget, RedisTarget

REPORT_EVERY = 200
BAD_SHOWN = 20
CATALOGUE_WAIT_S = 3.0

Report = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a backfill has done."""

    messages: int
    keys: dict[str, int]
    counters: dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a log: its messages by log time, and how many there are at most.

    `catalogue` is what is known of items before, whenever the log took it.
    """

    total: int
    messages: Iterator[LogMessage]
    catalogue: Iterator[LogMessage] = field(default_factory=lambda: iter(()))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is wanted of a source; `report` is told of the bytes of a file that have been read."""

    say: Callable[[str], None]
    report: Report
    until_ms: int | None = None
    file: Path | None = None


def folding_jobs() -> list[str]:
    """The jobs that have a state to come to."""
    return [name for name in JOBS if hasattr(_module(name), "make_fold")]


def read_topics() -> tuple[Topic, ...]:
    """What the jobs read that no job writes."""
    read = {topic.name: topic for name in folding_jobs() for topic in _module(name).TOPICS}
    return tuple(topic for topic in read.values() if not topic.delta)


@contextmanager
def from_kafka(settings: Settings, asked: Asked) -> Iterator[Stretch]:
    """What is in the topics now."""
    with OrderedLog(settings.kafka.bootstrap, read_topics(), until_ms=asked.until_ms) as log:
        yield Stretch(total=log.total, messages=iter(log))


@contextmanager
def from_lake(settings: Settings, asked: Asked) -> Iterator[Stretch]:
    """What is in the lake: events and showings, for as long as it goes back."""
    import pyarrow.parquet as pq

    from stores.lake.reading import Lake

    lake, wanted = Lake(settings.lake_directory), {topic.name for topic in read_topics()}
    tables = [table for table in LAKE_TABLES if table.topic.name in wanted]
    files = (path for table in tables for hour in lake.hours(table) for path in hour.live)
    total = sum(pq.read_metadata(path).num_rows for path in files)
    messages = lake.messages(tables, until_ms=asked.until_ms)
    with _with_catalogue(settings, asked, Stretch(total=total, messages=messages)) as stretch:
        yield stretch


@contextmanager
def from_csv(settings: Settings, asked: Asked) -> Iterator[Stretch]:
    """The events of a CSV file."""
    with _from_file(settings, asked, csv_events) as stretch:
        yield stretch


@contextmanager
def from_avro(settings: Settings, asked: Asked) -> Iterator[Stretch]:
    """The events of an Avro container file."""
    with _from_file(settings, asked, avro_events) as stretch:
        yield stretch


@contextmanager
def _from_file(
    settings: Settings,
    asked: Asked,
    events_of: Callable[..., AbstractContextManager[FiledEvents]],
) -> Iterator[Stretch]:
    if asked.file is None:
        raise EventFileError("no file is named; say it behind the source: --from csv FILE")
    with events_of(asked.file, until_ms=asked.until_ms, report=asked.report) as found:
        for line in bad_rows_told(found.bad, asked.file):
            asked.say(line)
        if found.bad and not found.total:
            raise EventFileError(f"no row of {asked.file} can be used")
        stretch = Stretch(total=found.total, messages=found.messages)
        with _with_catalogue(settings, asked, stretch) as whole:
            yield whole


def bad_rows_told(bad: Sequence[BadRow], file: Path) -> Iterator[str]:
    """Yield what is said of rows that were left out: the first of them by line and reason."""
    if not bad:
        return
    yield f"{len(bad):,} rows of {file} can't be used and are left out:"
    yield from (f"  line {row.place}: {row.reason}" for row in bad[:BAD_SHOWN])
    if len(bad) > BAD_SHOWN:
        yield f"  and {len(bad) - BAD_SHOWN:,} more"


@contextmanager
def _with_catalogue(settings: Settings, asked: Asked, stretch: Stretch) -> Iterator[Stretch]:
    """A stretch from elsewhere, and the catalogue as Kafka has it now."""
    with ExitStack() as closing:
        items, total = chain[LogMessage](), 0
        try:
            log = closing.enter_context(
                OrderedLog(settings.kafka.bootstrap, (ITEMS,), timeout_s=CATALOGUE_WAIT_S)
            )
            items, total = chain(log), log.total
        except LogUnavailable as error:
            asked.say(f"{error}; going on without the catalogue (topic {ITEMS.name})")
        asked.say("vectors of items are those in Redis now")
        yield replace(stretch, total=total + stretch.total, catalogue=items)


SOURCES: dict[str, Callable[[Settings, Asked], AbstractContextManager[Stretch]]] = {
    "kafka": from_kafka,
    "lake": from_lake,
    "csv": from_csv,
    "avro": from_avro,
}


def run(
    settings: Settings,
    stretch: Stretch,
    *,
    directory: Path,
    sink: Sink,
    until_ms: int | None,
    report: Report,
) -> Lived:
    """Live a stretch of the log; states and last messages are files under `directory`."""
    with ExitStack() as closing:
        kept = {
            name: closing.enter_context(KeptBytes(states_file(directory, name)))
            for name in folding_jobs()
        }
        last = closing.enter_context(LastMessages(directory))
        closing.enter_context(sink)
        jobs = [
            BackfillJob(
                name=name,
                topics=_module(name).TOPICS,
                fold=_module(name).make_fold(settings),
                states=states,
            )
            for name, states in kept.items()
        ]

        def tell(out: Outgoing, log_time_ms: int) -> None:
            last.tell(out, log_time_ms)
            sink.tell(out, log_time_ms)

        backfill = Backfill(jobs, tell=tell)
        messages = _lived(backfill, stretch, until_ms=until_ms, report=report)
        return Lived(
            messages=messages,
            keys={name: len(states) for name, states in kept.items()},
            counters={name: dict(found) for name, found in backfill.counters.items()},
        )


def sink_of(settings: Settings, to: str) -> Sink:
    """Where the messages go beside the files."""
    if to == "redis":
        return StoreSink(RedisTarget(settings.redis.url))
    if to == "milvus":
        token = settings.milvus.token.get_secret_value()
        return StoreSink(MilvusTarget(settings.milvus.uri, token=token))
    return Nothing()


class Nothing:
    """Takes messages and leaves them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def tell(self, out: Outgoing, log_time_ms: int) -> None:
        """Leave a message."""


def _lived(backfill: Backfill, stretch: Stretch, *, until_ms: int | None, report: Report) -> int:
    """Live them all, and let time pass up to the end that was asked for."""
    done = 0
    parts = ((backfill.know, stretch.catalogue), (backfill.take, stretch.messages))
    for take, message in ((take, message) for take, part in parts for message in part):
        take(message)
        done += 1
        if done % REPORT_EVERY == 0:
            report(done)
    if until_ms is not None:
        backfill.pass_time(until_ms - 1)
    report(done)
    return done


def _module(name: str) -> ModuleType:
    """The job's wiring, which knows its topics and how to make its fold."""
    return importlib.import_module(f"jobs.{name}")
