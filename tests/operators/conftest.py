"""Runs folds without an engine, and opens Flink's operator with a runtime as small as it needs."""

from collections import Counter
from collections.abc import Callable, MutableMapping
from itertools import count
from typing import Any

import pytest

from operators.fold import Fold, Outgoing
from operators.living import Living
from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import DEAD_LETTERS, TOPICS
from schemas.types import DeadLetter, Record

LOG_TIME_MS = 1_700_000_000_000
RECORDS = {topic.name: topic.record for topic in TOPICS}

Told = list[tuple[str, str, Record | None]]


def told(outgoing: list[Outgoing]) -> Told:
    """Topic, key and record of each message; None for a tombstone."""
    return [(one.topic, one.key.decode(), record_of(one)) for one in outgoing]


def record_of(one: Outgoing) -> Record | None:
    return None if one.payload is None else decode(one.payload, RECORDS[one.topic])


class Run:
    """A fold that lives; `states` are its stored bytes by key."""

    def __init__(self, fold: Fold[Any]) -> None:
        self.living = Living(fold)
        self._offsets = count()

    @property
    def states(self) -> MutableMapping[bytes, bytes]:
        return self.living.states

    @property
    def counters(self) -> Counter[str]:
        return self.living.tally.counters

    def send(
        self, topic: str, value: bytes | None, *, key: bytes | None, log_time_ms: int = LOG_TIME_MS
    ) -> Told:
        """What comes out for a message: topic, key and record."""
        message = Incoming(key, value, topic, 3, next(self._offsets), log_time_ms)
        return told(list(self.living.take(message)))

    def pass_time(self, log_time_ms: int) -> Told:
        """What comes out because the log has passed a time."""
        return told(list(self.living.pass_time(log_time_ms)))

    def send_bad(self, topic: str, value: bytes | None, *, key: bytes | None) -> DeadLetter:
        """The dead letter for a message that can't be used; nothing else may come out."""
        ((out, _, letter),) = self.send(topic, value, key=key)
        assert out == DEAD_LETTERS.name
        assert isinstance(letter, DeadLetter)
        return letter


@pytest.fixture
def run() -> Callable[[Fold[Any]], Run]:
    return Run
