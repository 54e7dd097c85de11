"""A job's logic without its engine: a fold of the messages of one key into one state.

The Flink operator (`operators/flink.py`), the plain loop of `freshet backfill` and the benchmarks
run the same folds, so that living a log and reading it again come to the same state.

Time is the log's. A message has the time at which the broker took it; `wake` is called once the log
has passed a time that the state asked for. What a fold does must not depend on how late that call
comes, only on the times that it is given.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeVar

from domain.events import Refusal
from operators.messages import Incoming
from schemas.codec import encode
from schemas.topics import Topic
from schemas.types import Record

StateT = TypeVar("StateT")


class Outgoing(NamedTuple):
    """A message for one of our topics; `payload` is None for a tombstone."""

    topic: str
    key: bytes
    payload: bytes | None


class RefusedError(Exception):
    """A message can't be used: it becomes a dead letter with this reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    @classmethod
    def of(cls, refusal: Refusal) -> "RefusedError":
        """The error of a refusal."""
        return cls(refusal.reason, refusal.detail)


class Counting(Protocol):
    """Where a fold counts what it met."""

    def count(self, name: str, by: int = 1) -> None:
        """More of something."""
        ...


class Fold(Protocol[StateT]):
    """One job's logic. `step` and `wake` change the state in place.

    Both raise `RefusedError` or `DecodeError` for what can't be used, before they change anything.
    Any other exception is a bug: the runtime puts the state back as it was before the message.
    """

    job: str

    def empty(self) -> StateT:
        """The state of a key that was never seen."""
        ...

    def decode(self, stored: bytes) -> StateT:
        """Read a stored state, of this version of the format or of an older one."""
        ...

    def encode(self, state: StateT) -> bytes:
        """Write a state; b"" where nothing has to be remembered of the key any more."""
        ...

    def step(self, state: StateT, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        """Take in one message, and say what leaves."""
        ...

    def due_ms(self, state: StateT) -> int | None:
        """The log time after which `wake` is wanted, None for never."""
        ...

    def wake(self, state: StateT, log_time_ms: int, counters: Counting) -> Iterable[Outgoing]:
        """Do what was due up to a log time that has passed."""
        ...


def outgoing_record(topic: Topic, key: str, record: Record) -> Outgoing:
    """A record for one of our topics."""
    return Outgoing(topic.name, key.encode(), encode(record))
