"""Carries topics into one store: read, decode, write, and only then commit.

A crash repeats what was not committed, some of which may have waited for something newer; repeating
changes nothing in the stores. While the store is away the carrier goes back to what it could not
write, pauses, and stays in its consumer group.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from schemas.topics import DEAD_LETTERS
from schemas.types import (
    BanditPosterior,
    ItemEngagement,
    ItemNeighbors,
    ItemPopularity,
    ItemSnapshot,
    UserSnapshot,
)
from stores.errors import StoreError, StoreRejected
from stores.event_log import EventLog, LogMessage, message_of
from writers.backlog import Backlog
from writers.batch import Carried, Refused, dead_letter, decode_all
from writers.checks import Problem
from writers.metrics import Metrics
from writers.targets import Target

POLL_MS = 200
# Kafka answers when there is so much to read, or after so long: to ask for each message costs it
# and us more than the message does.
FETCH_BYTES, FETCH_WAIT_MS = 65_536, 20
COMMIT_EVERY_S = 0.5
LAST_COMMIT_S = 3.0
LAG_EVERY_S = 1.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LOG_AGAIN_S = 30.0
KAFKA_PAUSE_S = 1.0
# A turn is a poll and a write, and a write has its own time limit.
STUCK_S = 60.0
# Records that know when the log took the message behind them.
TIMED = (
    UserSnapshot,
    ItemSnapshot,
    ItemPopularity,
    ItemEngagement,
    ItemNeighbors,
    BanditPosterior,
)
# The shortest that brokers allow; until it has passed, nobody takes over what a dead process had.
SESSION_MS = 6_000
HEARTBEAT_MS = 1_500

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """How a carrier takes part in its consumer group.

    `member` names this process for good: after a crash it gets its partitions back at once,
    and another process of that name is shut out.
    """

    bootstrap: str
    group: str
    member: str
    batch: int


class Carrier:
    """One thread's work: a consumer and the store that it fills."""

    def __init__(
        self,
        target: Target,
        *,
        group: GroupSettings,
        letters: EventLog,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._target = target
        self._group = group
        self._letters = letters
        self._metrics = metrics
        self._clock = clock
        self._now_ms = now_ms
        self._topics = {topic.name: topic for topic in target.topics}
        self._backlog = Backlog(target.linger, clock=clock)
        self._consumer: Any = None
        self._outage = Outage(target.name, clock)
        self._ready = False
        # Whether records wait that the store did not take: then only a write proves it is back.
        self._owed = False
        self._joined = False
        self._last_turn = clock()
        self._last_commit = self._last_lag = clock()
        self._uncommitted = False
        # What will be committed once the store has it on its disk.
        self._settling: dict[TopicPartition, OffsetAndMetadata] = {}

    @property
    def store(self) -> str:
        """The store that it fills."""
        return self._target.name

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; then commit what is written and leave."""
        self._consumer = self._open()
        try:
            while not stop.is_set():
                self._turn(stop)
            self._finish()
        finally:
            self._consumer.close(autocommit=False, timeout_ms=5_000)

    def _finish(self) -> None:
        """Write what has waited, and commit as far as the store lets us within some seconds."""
        until = self._clock() + LAST_COMMIT_S
        while self._ready and len(self._backlog):
            self._write_due([], hurry=True)
        while (self._uncommitted or self._settling) and self._clock() < until:
            self._commit()
            time.sleep(POLL_MS / 1000 * bool(self._settling))

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it works (a store that is away is no fault of it), and how the store is."""
        silent_s = self._clock() - self._last_turn
        return self._joined and silent_s < STUCK_S, {
            "joined": self._joined,
            "store": self._outage.reason or "up",
            "last_turn_s": round(silent_s, 1),
        }

    def _open(self) -> Any:
        consumer = KafkaConsumer(
            bootstrap_servers=self._group.bootstrap,
            group_id=f"{self._group.group}-{self._target.name}",
            group_instance_id=f"{self._group.member}-{self._target.name}",
            client_id=f"{self._group.group}-{self._target.name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=self._group.batch,
            fetch_min_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            reconnect_backoff_max_ms=1_000,
            allow_auto_create_topics=False,
        )
        # A leader that doesn't know the topics yet would give everybody nothing.
        for topic in self._topics:
            consumer.partitions_for_topic(topic)
        consumer.subscribe(list(self._topics), listener=_Rebalance(self))
        return consumer

    def joined(self, partitions: int) -> None:
        """Take note that the group has given us our share."""
        log.info("%s: joined its group, with %d partitions", self._target.name, partitions)
        self._joined = True
        # The group has us begin at what is committed.
        self._forget()

    def _turn(self, stop: threading.Event) -> None:
        self._last_turn = self._clock()
        try:
            self._recover()
            self._carry(self._poll())
            self._keep_books()
        except KafkaError as error:
            log.warning("%s: Kafka: %s", self._target.name, error)
            stop.wait(KAFKA_PAUSE_S)
        stop.wait(self._target.pause_s)

    def _recover(self) -> None:
        """Make the store ready where it isn't and an attempt is due; then go on reading."""
        if self._ready or not self._outage.allows_attempt():
            return
        try:
            self._target.prepare()
        except StoreError as error:
            self._fail(error)
            return
        self._go_back()
        self._ready = True
        if not self._owed:
            self._is_back()

    def _poll(self) -> list[LogMessage]:
        found = self._consumer.poll(timeout_ms=POLL_MS)
        return [message_of(record) for records in found.values() for record in records]

    def _carry(self, messages: Sequence[LogMessage]) -> None:
        if self._ready:
            self._write_due(messages)
        elif messages:
            # Of partitions that the group has just given us: they weren't paused yet.
            self._consumer.pause(*self._consumer.assignment())

    def _write_due(self, messages: Sequence[LogMessage], *, hurry: bool = False) -> None:
        batch = decode_all(messages, self._topics)
        replaced = self._backlog.add(batch.good)
        due = self._backlog.due(self._group.batch, hurry=hurry or self._owed)
        try:
            self._bury(batch.bad + self._write(due))
        except StoreError as error:
            self._fail(error)
            return
        self._backlog.written(due)
        self._metrics.replaced.labels(self._target.name).inc(replaced)
        self._uncommitted = self._uncommitted or bool(messages or due)
        if due:
            self._owed = False
            self._is_back()

    def _write(self, carried: Sequence[Carried]) -> list[Refused]:
        """Write, and where the store refuses, halve until the records to blame stand alone."""
        if not carried:
            return []
        try:
            self._write_timed(carried)
        except StoreRejected as error:
            if len(carried) == 1:
                return [Refused(carried[0].message, Problem("rejected", str(error)))]
            middle = len(carried) // 2
            return self._write(carried[:middle]) + self._write(carried[middle:])
        return []

    def _write_timed(self, carried: Sequence[Carried]) -> None:
        store = self._target.name
        with self._metrics.write_seconds.labels(store).time():
            self._target.write(carried)
        self._metrics.batch_size.labels(store).observe(len(carried))
        now_ms = self._now_ms()
        for one in carried:
            topic = one.message.position.topic
            self._metrics.records.labels(store, topic).inc()
            age_ms = now_ms - _log_time_ms(one)
            self._metrics.freshness.labels(store, topic).observe(max(age_ms, 0) / 1000)

    def _bury(self, refused: Sequence[Refused]) -> None:
        """Send the unusable to the dead letters, and see that they have arrived."""
        sent = []
        for one in refused:
            key, letter = dead_letter(one, job=f"writers-{self._target.name}")
            log.warning("dead letter %s: %s: %s", key, letter.reason, letter.detail)
            sent.append(self._letters.send(DEAD_LETTERS, key, letter))
        for waiting, one in zip(sent, refused, strict=True):
            waiting.result()
            self._metrics.dead_letters.labels(self._target.name, one.problem.reason).inc()

    def _fail(self, error: StoreError) -> None:
        """Fetch nothing for now. What isn't committed will be read again."""
        self._ready, self._owed = False, True
        self._forget()
        self._consumer.pause(*self._consumer.assignment())
        self._metrics.errors.labels(self._target.name).inc()
        self._metrics.store_up.labels(self._target.name).set(0)
        self._outage.note(error)

    def _is_back(self) -> None:
        self._outage.end()
        self._metrics.store_up.labels(self._target.name).set(1)

    def _forget(self) -> None:
        self._backlog.clear()
        self._uncommitted = False
        self._settling = {}

    def _go_back(self) -> None:
        """Read again from what is committed: a store that was away may have lost what it took."""
        for partition in self._consumer.assignment():
            committed = self._consumer.committed(partition)
            if committed is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, committed)
        self._consumer.resume(*self._consumer.paused())

    def _keep_books(self) -> None:
        now = self._clock()
        if self._settling or now - self._last_commit >= COMMIT_EVERY_S:
            self._last_commit = now
            self._commit()
        if now - self._last_lag >= LAG_EVERY_S:
            self._last_lag = now
            self._measure_lag()

    def _commit(self) -> None:
        """Commit what is on the store's disk; where that takes a while, at a later turn."""
        mark = self._target.mark
        try:
            if self._uncommitted and not self._settling:
                self._settling, self._uncommitted = self._settled(), False
                if mark is not None:
                    mark.ask()
            if self._settling and (mark is None or mark.reached()):
                self._consumer.commit(self._settling, timeout_ms=5_000)
                self._settling = {}
        except StoreError as error:
            self._fail(error)
        except KafkaError as error:
            # Nothing is lost: what isn't committed is written again.
            log.warning("%s: commit: %s", self._target.name, error)

    def _settled(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Up to where everything is written."""
        waiting = self._backlog.first_offsets()
        return {
            partition: OffsetAndMetadata(
                waiting.get((partition.topic, partition.partition), position), "", -1
            )
            for partition in self._consumer.assignment()
            if (position := self._consumer.position(partition)) is not None
        }

    def _measure_lag(self) -> None:
        lag = dict.fromkeys(self._topics, 0)
        for partition in self._consumer.assignment():
            end = self._consumer.highwater(partition)
            if end is not None:
                lag[partition.topic] += max(0, end - self._consumer.position(partition))
        for topic, messages in lag.items():
            self._metrics.lag.labels(self._target.name, topic).set(messages)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def on_partitions_revoked(self, _: Iterable[Any]) -> None:
        """Leave it to the next owner to repeat what isn't committed: some seconds, at most.

        The client calls this where a commit isn't possible.
        """

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._carrier.joined(len(list(assigned)))


class Outage:
    """How long a store has been away, and when to try it again."""

    def __init__(self, store: str, clock: Callable[[], float]) -> None:
        self.reason = ""
        self._store = store
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._began = self._again = self._logged = 0.0

    def note(self, error: StoreError) -> None:
        """One more write has failed."""
        now = self._clock()
        if not self.reason:
            self._began = now
        if not self.reason or now - self._logged >= LOG_AGAIN_S:
            self._logged = now
            log.warning("%s: waiting, %.0f s so far: %s", self._store, now - self._began, error)
        self.reason = str(error)
        self._again = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def allows_attempt(self) -> bool:
        """Whether there is none, or it's time to try again."""
        return not self.reason or self._clock() >= self._again

    def end(self) -> None:
        """A write has succeeded."""
        if self.reason:
            log.info("%s: back after %.1f s", self._store, self._clock() - self._began)
        self.reason = ""
        self._pause_s = FIRST_PAUSE_S


def _log_time_ms(carried: Carried) -> int:
    record = carried.record
    if isinstance(record, TIMED):
        return record.log_time_ms
    return carried.message.position.log_time_ms
