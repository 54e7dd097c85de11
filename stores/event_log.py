"""The event log: topics, a producer that waits for Kafka's word, and a bounded reader for tools."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Self, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient

from schemas.codec import decode, encode
from schemas.topics import TICK_KEY, TOPICS, Topic
from schemas.types import Record
from stores.errors import LogUnavailable
from stores.log_producer import LogProducer, Outcome, Position
from stores.time_left import time_left

LINGER_MS = 1
CLOSE_S = 1.0

RecordT = TypeVar("RecordT", bound=Record)
Headers = Callable[[], list[tuple[str, bytes]]]


@dataclass(frozen=True, kw_only=True)
class TopicState:
    """A declared topic as Kafka has it; `partitions` is 0 where it is missing."""

    name: str
    wanted: int
    partitions: int


@dataclass(frozen=True, kw_only=True)
class TopicsReport:
    """What `create_topics` has added, and what is there with other partitions than declared."""

    created: tuple[str, ...]
    different: tuple[TopicState, ...]


@dataclass(frozen=True, kw_only=True)
class LogMessage:
    """A message as Kafka keeps it."""

    position: Position
    key: bytes | None
    value: bytes | None

    @property
    def is_tick(self) -> bool:
        """Whether it is there for its log time alone."""
        return self.value is None and self.key == TICK_KEY

    def record(self, kind: type[RecordT]) -> RecordT:
        """The record in it, or `DecodeError`."""
        return decode(self.value, kind)


def topic_states(
    bootstrap: str,
    *,
    scale: float,
    topics: Sequence[Topic] = TOPICS,
    timeout_s: float = 10.0,
) -> list[TopicState]:
    """Compare the declared topics with Kafka."""
    with _admin(bootstrap, timeout_s) as admin:
        return _states(admin, topics, scale)


def create_topics(
    bootstrap: str,
    *,
    scale: float,
    replication: int,
    topics: Sequence[Topic] = TOPICS,
    timeout_s: float = 10.0,
) -> TopicsReport:
    """Add the declared topics that are missing; those that are there stay as they are."""
    with _admin(bootstrap, timeout_s) as admin:
        states = {state.name: state for state in _states(admin, topics, scale)}
        missing = [topic for topic in topics if not states[topic.name].partitions]
        created = tuple(_create(admin, missing, scale=scale, replication=replication))
    return TopicsReport(
        created=created,
        different=tuple(s for s in states.values() if s.partitions not in {0, s.wanted}),
    )


def _admin(bootstrap: str, timeout_s: float) -> AbstractContextManager[Any]:
    request_timeout_ms = int(timeout_s * 1000)
    return opened(KafkaAdminClient, bootstrap, timeout_s, request_timeout_ms=request_timeout_ms)


def opened(
    kind: Callable[..., Any], bootstrap: str, timeout_s: float, **options: Any
) -> AbstractContextManager[Any]:
    """Open a client that asks Kafka at once; one that gets no answer leaves no thread behind."""
    nets: list[Any] = []

    def net(**given: Any) -> Any:
        nets.append(KafkaNetClient(**given))
        return nets[-1]

    try:
        client = kind(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=int(timeout_s * 1000),
            kafka_client=net,
            **options,
        )
    except KafkaError as error:
        for one in nets:
            one.close()
        raise LogUnavailable(
            f"no answer from {bootstrap} in {timeout_s:g} s; is it up, and is kafka.external right?"
        ) from error
    return closing(client)


def _states(admin: Any, topics: Sequence[Topic], scale: float) -> list[TopicState]:
    try:
        described = admin.describe_topics([topic.name for topic in topics])
    except KafkaError as error:
        raise LogUnavailable(f"it did not describe its topics: {error}") from error
    partitions = {entry["name"]: len(entry["partitions"]) for entry in described}
    return [
        TopicState(
            name=topic.name,
            wanted=topic.scaled_partitions(scale),
            partitions=partitions.get(topic.name, 0),
        )
        for topic in topics
    ]


def _create(
    admin: Any, topics: Iterable[Topic], *, scale: float, replication: int
) -> Iterator[str]:
    """Create one by one, so that another process that does the same is no obstacle."""
    for topic in topics:
        wanted = {
            "num_partitions": topic.scaled_partitions(scale),
            "replication_factor": min(replication, topic.replication),
            "configs": topic.config(),
        }
        try:
            admin.create_topics({topic.name: wanted}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            continue
        except KafkaError as error:
            raise LogUnavailable(f"it did not create topic {topic.name}: {error}") from error
        yield topic.name


class EventLog:
    """Writes records to their topics. Safe to share between threads; Kafka may come later.

    A record is taken when every in-sync replica has it, or `LogUnavailable` says after
    `deadline_s` that it may not be. A retry inside that time may write it twice, next to each
    other: readers know records by their id or version. `headers` is asked for those of each record,
    where the record is handed over.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "freshet",
        deadline_s: float = 10.0,
        linger_ms: int = LINGER_MS,
        headers: Headers = list,
    ) -> None:
        self._bootstrap = bootstrap
        self._headers = headers
        self._deadline_s = deadline_s
        self._producer = LogProducer(
            bootstrap, client_id=client_id, deadline_s=deadline_s, linger_ms=linger_ms
        )

    def send(self, topic: Topic, key: str, record: Record) -> "Future[Position]":
        """Hand a record over; the future gets its position, or `LogUnavailable`."""
        return self.send_raw(topic, key.encode(), encode(record))

    def send_raw(self, topic: Topic, key: bytes | None, value: bytes | None) -> "Future[Position]":
        """Hand over bytes as they are, for tools that write what no codec would."""
        done: Future[Position] = Future()
        self._producer.produce(
            topic.name, key, value, told=partial(_resolve, done), headers=self._headers()
        )
        return done

    def tick(self, topics: Iterable[Topic]) -> None:
        """Let time go on in every partition, and wait for Kafka's word."""
        try:
            pending = [self._tick(topic, number) for topic, number in self._each(topics)]
            for one in pending:
                one.result(self._deadline_s + CLOSE_S)
        except (LogUnavailable, TimeoutError) as error:
            raise LogUnavailable(f"tick: {error}") from error

    def _each(self, topics: Iterable[Topic]) -> Iterator[tuple[Topic, int]]:
        for topic in topics:
            found = self._producer.partitions(topic.name, timeout_s=self._deadline_s)
            yield from ((topic, number) for number in range(found))

    def _tick(self, topic: Topic, partition: int) -> "Future[Position]":
        done: Future[Position] = Future()
        self._producer.produce(
            topic.name, TICK_KEY, None, partition=partition, told=partial(_resolve, done)
        )
        return done

    async def append(self, topic: Topic, key: str, record: Record) -> Position:
        """Write a record and wait for Kafka's word; `LogUnavailable` after the deadline."""
        return await self._written(topic, key.encode(), encode(record))

    async def probe(self, topic: Topic) -> None:
        """Raise unless Kafka takes something now, a tick: one that hangs still lets connect."""
        await self._written(topic, TICK_KEY, None)

    async def _written(self, topic: Topic, key: bytes, value: bytes | None) -> Position:
        timeout_s = time_left(at_most_s=self._deadline_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(self.send_raw(topic, key, value))
        except TimeoutError as error:
            raise self._too_late(topic, timeout_s) from error

    async def append_each(
        self, topic: Topic, records: Sequence[tuple[str, Record]]
    ) -> Sequence[Outcome]:
        """Write records under their keys, and wait for Kafka's word of each."""
        if not records:
            return []
        waiting = _Outcomes(len(records), loop=asyncio.get_running_loop())
        for place, (key, record) in enumerate(records):
            told = partial(waiting.put, place)
            self._producer.produce(
                topic.name, key.encode(), encode(record), told=told, headers=self._headers()
            )
        return await waiting.all

    def flush(self) -> None:
        """Wait until everything handed over is taken or has failed."""
        if left := self._producer.flush(timeout_s=self._deadline_s + CLOSE_S):
            raise LogUnavailable(f"flush: no word of {left} records in {self._deadline_s:g} s")

    def close(self) -> None:
        """Send what is left, while the deadline allows, and let go of the connections."""
        self._producer.close(timeout_s=self._deadline_s + CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _too_late(self, topic: Topic, waited_s: float | None) -> LogUnavailable:
        return LogUnavailable(
            f"topic {topic.name}: no word from {self._bootstrap} in {waited_s or 0:.3g} s"
        )


class _Outcomes:
    """Waits for many outcomes and wakes the loop once: to wake it for each costs more than each."""

    def __init__(self, count: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._found: list[Outcome] = [LogUnavailable("no word yet")] * count
        self._left = count
        self._lock = Lock()
        self._loop = loop
        self.all: asyncio.Future[Sequence[Outcome]] = loop.create_future()

    def put(self, place: int, outcome: Outcome) -> None:
        """Take one in, from whichever thread."""
        with self._lock:
            self._found[place] = outcome
            self._left -= 1
            last = not self._left
        if last:
            with suppress(RuntimeError):  # The loop has ended, and nobody waits.
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self.all.done():
            self.all.set_result(self._found)


def _resolve(done: "Future[Position]", outcome: Outcome) -> None:
    if not done.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Position):
        done.set_result(outcome)
    else:
        done.set_exception(outcome)


def read(
    bootstrap: str,
    topics: Sequence[Topic],
    *,
    from_ms: int = 0,
    read_committed: bool = True,
    timeout_s: float = 10.0,
) -> Iterator[LogMessage]:
    """Yield what the topics hold at this moment, partition by partition in order, then end.

    Ticks are left out; `from_ms` leaves out what Kafka took before.
    """
    options = {
        "isolation_level": "read_committed" if read_committed else "read_uncommitted",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "allow_auto_create_topics": False,
    }
    with opened(KafkaConsumer, bootstrap, timeout_s, **options) as consumer:
        try:
            yield from _read_to_end(consumer, topics, from_ms)
        except KafkaError as error:
            raise LogUnavailable(error) from error


def _read_to_end(consumer: Any, topics: Sequence[Topic], from_ms: int) -> Iterator[LogMessage]:
    partitions = [one for topic in topics for one in partitions_of(consumer, topic)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    _seek(consumer, partitions, from_ms, ends)
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for partition, records in consumer.poll(timeout_ms=100).items():
            found = (message_of(one) for one in records if one.offset < ends[partition])
            yield from (message for message in found if not message.is_tick)


def partitions_of(consumer: Any, topic: Topic) -> list[TopicPartition]:
    """The partitions of a topic, or `LogUnavailable` where it is missing."""
    numbers = consumer.partitions_for_topic(topic.name)
    if not numbers:
        raise LogUnavailable(f"it has no topic {topic.name}; `freshet topics create` adds it")
    return [TopicPartition(topic.name, number) for number in sorted(numbers)]


def _seek(consumer: Any, partitions: list[Any], from_ms: int, ends: dict[Any, int]) -> None:
    if not from_ms:
        consumer.seek_to_beginning(*partitions)
        return
    found = consumer.offsets_for_times(dict.fromkeys(partitions, from_ms))
    for partition in partitions:
        at = found.get(partition)
        consumer.seek(partition, at.offset if at else ends[partition])


def message_of(record: Any) -> LogMessage:
    """What the client calls a consumer record."""
    position = Position(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        log_time_ms=record.timestamp,
    )
    return LogMessage(position=position, key=record.key, value=record.value)
