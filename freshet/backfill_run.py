"""Runs a backfill: where it reads, where it writes, and whether the stores say the same."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Self

from freshet.backfill import Backfill, BackfillJob
from freshet.backfill_sinks import LastMessages, Sink, StoreSink, last_file, states_file
from freshet.backfill_states import KeptBytes, rows_of
from freshet.job_submission import JOBS
from operators.fold import Outgoing
from schemas.codec import decode
from schemas.lake import LAKE_TABLES
from schemas.redis_keys import CONTEXT, EMBEDDING
from schemas.topics import EMBEDDING_UPDATES, USER_SNAPSHOTS, Topic
from schemas.types import EmbeddingUpdate, UserSnapshot
from settings import Settings
from stores.event_log import LogMessage
from stores.log_order import OrderedLog
from stores.online import connect, translated
from stores.views import context_json, embedding_bytes
from writers.described import described
from writers.targets import MilvusTarget, RedisTarget

PAGE = 500
REPORT_EVERY = 200

Report = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a backfill has done."""

    messages: int
    keys: dict[str, int]
    counters: dict[str, dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a log: its messages by log time, and how many there are at most."""

    total: int
    messages: Iterator[LogMessage]


@dataclass(kw_only=True)
class Compared:
    """How many users' contexts and vectors in Redis are as the backfill says.

    An absent one may have lived its time there.
    """

    same: int = 0
    absent: int = 0
    different: list[str] = field(default_factory=list)

    def hold(self, key: str, expected: bytes | None, there: bytes | None) -> None:
        """Take note of one key; of an erased user nothing is expected."""
        if there == expected:
            self.same += 1
        elif there is None:
            self.absent += 1
        else:
            self.different.append(key)


def folding_jobs() -> list[str]:
    """The jobs that have a state to come to."""
    return [name for name in JOBS if hasattr(_module(name), "make_fold")]


def read_topics() -> tuple[Topic, ...]:
    """What the jobs read that no job writes."""
    read = {topic.name: topic for name in folding_jobs() for topic in _module(name).TOPICS}
    return tuple(topic for topic in read.values() if not topic.delta)


@contextmanager
def from_kafka(settings: Settings, *, until_ms: int | None) -> Iterator[Stretch]:
    """What is in the topics now."""
    with OrderedLog(settings.kafka.bootstrap, read_topics(), until_ms=until_ms) as log:
        yield Stretch(total=log.total, messages=iter(log))


@contextmanager
def from_lake(settings: Settings, *, until_ms: int | None) -> Iterator[Stretch]:
    """What is in the lake: events and showings, for as long as it goes back; no catalogue."""
    import pyarrow.parquet as pq

    from stores.lake.reading import Lake

    lake, wanted = Lake(settings.lake_directory), {topic.name for topic in read_topics()}
    tables = [table for table in LAKE_TABLES if table.topic.name in wanted]
    files = (path for table in tables for hour in lake.hours(table) for path in hour.live)
    total = sum(pq.read_metadata(path).num_rows for path in files)
    yield Stretch(total=total, messages=lake.messages(tables, until_ms=until_ms))


SOURCES: dict[str, Callable[..., AbstractContextManager[Stretch]]] = {
    "kafka": from_kafka,
    "lake": from_lake,
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
        messages = _lived(backfill, stretch.messages, until_ms=until_ms, report=report)
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


def compare(settings: Settings, directory: Path, *, report: Report) -> Compared:
    """Hold the last contexts and vectors of users against what lies in Redis."""
    compared = Compared()
    rows = chain(
        (_context(payload) for _, payload in rows_of(last_file(directory, USER_SNAPSHOTS.name))),
        (_vector(payload) for _, payload in rows_of(last_file(directory, EMBEDDING_UPDATES.name))),
    )
    done = 0
    with connect(settings.redis.url) as client, translated():
        while page := list(islice(rows, PAGE)):
            found = client.mget([key for key, _ in page])
            for (key, expected), there in zip(page, found, strict=True):
                compared.hold(key, expected, there)
            done += len(page)
            report(done)
    return compared


def comparable(directory: Path) -> int:
    """How many rows there are to compare."""
    topics = (USER_SNAPSHOTS, EMBEDDING_UPDATES)
    return sum(1 for topic in topics for _ in rows_of(last_file(directory, topic.name)))


def _context(payload: bytes) -> tuple[str, bytes | None]:
    """A context as the writers write it; without consent nothing is described."""
    user = decode(payload, UserSnapshot)
    if user.erased:
        return CONTEXT.of(user.user_id), None
    beside = described(user).context if user.consent else None
    return CONTEXT.of(user.user_id), context_json(user, beside).encode()


def _vector(payload: bytes) -> tuple[str, bytes | None]:
    update = decode(payload, EmbeddingUpdate)
    vector = embedding_bytes(update.embedding.vector, update.embedding.version)
    return EMBEDDING.of(update.user_id), None if update.erased else vector


def _lived(
    backfill: Backfill, messages: Iterator[LogMessage], *, until_ms: int | None, report: Report
) -> int:
    """Live them all, and let time pass up to the end that was asked for."""
    done = 0
    for message in messages:
        backfill.take(message)
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
