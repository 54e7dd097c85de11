"""Reads topics in the order of their log times, as those who live the log meet them."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Self

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from schemas.topics import Topic
from stores.errors import LogUnavailable
from stores.event_log import LogMessage, message_of, opened, partitions_of

# So many messages of a partition wait at most while those of another are read.
AHEAD = 2_000
POLL_MS = 200


class OrderedLog:
    """What some topics hold when it is made. Use it with `with`; `total` counts messages at most.

    Messages come by log time, and those of a partition keep their order. `until_ms` leaves out
    what Kafka took then or later. Ticks are among them: they say how far time has come.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[Topic],
        *,
        until_ms: int | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._opened = opened(
            KafkaConsumer,
            bootstrap,
            timeout_s,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
        )
        self._topics = topics
        self._until_ms = until_ms
        self._consumer: Any = None
        self._ends: dict[Any, int] = {}
        self.total = 0

    def __enter__(self) -> Self:
        self._consumer = self._opened.__enter__()
        partitions = [one for topic in self._topics for one in partitions_of(self._consumer, topic)]
        self._consumer.assign(partitions)
        self._consumer.seek_to_beginning(*partitions)
        begins = self._consumer.beginning_offsets(partitions)
        self._ends = self._until(self._consumer.end_offsets(partitions))
        self.total = sum(max(0, self._ends[one] - begins[one]) for one in partitions)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__(None, None, None)

    def _until(self, ends: dict[Any, int]) -> dict[Any, int]:
        """Where to stop in each partition."""
        if self._until_ms is None:
            return ends
        found = self._consumer.offsets_for_times(dict.fromkeys(ends, self._until_ms))
        return {one: found[one].offset if found.get(one) else ends[one] for one in ends}

    def __iter__(self) -> Iterator[LogMessage]:
        """Each message once."""
        try:
            yield from self._merged({partition: deque() for partition in self._ends})
        except KafkaError as error:
            raise LogUnavailable(error) from error

    def _merged(self, waiting: dict[Any, deque[LogMessage]]) -> Iterator[LogMessage]:
        open_ones = set(waiting)
        while open_ones or any(waiting.values()):
            if any(not waiting[partition] for partition in open_ones):
                self._fetch(waiting)
                open_ones = {one for one in open_ones if self._is_open(one)}
                continue
            first = min((one for one in waiting.values() if one), key=_place)
            yield first.popleft()

    def _fetch(self, waiting: dict[Any, deque[LogMessage]]) -> None:
        """Read on, but not in partitions that are far ahead."""
        full = [one for one, messages in waiting.items() if len(messages) > AHEAD]
        self._consumer.resume(*self._consumer.paused())
        self._consumer.pause(*full)
        for partition, records in self._consumer.poll(timeout_ms=POLL_MS).items():
            end = self._ends[partition]
            waiting[partition] += [message_of(one) for one in records if one.offset < end]

    def _is_open(self, partition: Any) -> bool:
        return bool(self._consumer.position(partition) < self._ends[partition])


def _place(messages: deque[LogMessage]) -> tuple[int, str, int, int]:
    position = messages[0].position
    return position.log_time_ms, position.topic, position.partition, position.offset
