"""A runtime as small as an operator needs: state by key, and counters that can be read."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import pytest
from pyflink.common import Row

from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import DEAD_LETTERS, TOPICS
from schemas.types import DeadLetter, Record

LOG_TIME_MS = 1_700_000_000_000
RECORDS = {topic.name: topic.record for topic in TOPICS}


class Operator(Protocol):
    def open(self, runtime_context: Any) -> None: ...

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]: ...


@dataclass
class FakeState:
    """A value of the current key."""

    runtime: "FakeRuntime"
    values: dict[str, bytes] = field(default_factory=dict)

    def value(self) -> bytes | None:
        return self.values.get(self.runtime.key)

    def update(self, value: bytes) -> None:
        self.values[self.runtime.key] = value


@dataclass
class FakeMetrics:
    counters: Counter[str]
    prefix: str = ""

    def add_group(self, name: str, value: str) -> "FakeMetrics":
        return FakeMetrics(self.counters, f"{self.prefix}{name}={value}.")

    def counter(self, name: str) -> "FakeCounter":
        return FakeCounter(self.counters, self.prefix + name)


@dataclass
class FakeCounter:
    counters: Counter[str]
    name: str

    def inc(self) -> None:
        self.counters[self.name] += 1


class FakeRuntime:
    """Opens an operator and hands it messages as Flink does: one key at a time."""

    def __init__(self, operator: Operator) -> None:
        self.key = ""
        self.states: dict[str, FakeState] = {}
        self.counters: Counter[str] = Counter()
        self._offsets = count()
        self.operator = operator
        operator.open(self)

    def get_state(self, descriptor: Any) -> FakeState:
        return self.states.setdefault(descriptor.name, FakeState(self))

    def get_metrics_group(self) -> FakeMetrics:
        return FakeMetrics(self.counters)

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, log_time_ms: int = LOG_TIME_MS
    ) -> list[tuple[str, str, Record]]:
        """What comes out for a message: topic, key and record."""
        self.key = (key or b"").decode(errors="replace")
        message = Incoming(key, value, topic, 3, next(self._offsets), log_time_ms)
        rows = list(self.operator.process_element(Row(*message), None))
        return [(row[0], row[1].decode(), decode(row[2], RECORDS[row[0]])) for row in rows]

    def send_bad(self, topic: str, value: bytes | None, *, key: bytes | None) -> DeadLetter:
        """The dead letter for a message that can't be used; nothing else may come out."""
        ((out, _, letter),) = self.send(topic, value, key=key)
        assert out == DEAD_LETTERS.name
        assert isinstance(letter, DeadLetter)
        return letter


@pytest.fixture
def runtime() -> Callable[[Operator], FakeRuntime]:
    return FakeRuntime
