"""Lives a log again, without an engine: the same folds, and so the same states.

What one job tells another (signals, pairs, rewards) is handed on at once, at the log time of what
it came from; what the jobs told each other when it was lived is left out of the log that is read.
"""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from operators.fold import Fold, Outgoing
from operators.living import Living
from operators.messages import Incoming
from schemas.topics import Topic
from stores.event_log import LogMessage

# What is handed on has no place in the log.
HANDED_ON = -1


@dataclass(frozen=True, kw_only=True)
class BackfillJob:
    """A job as a backfill sees it."""

    name: str
    topics: tuple[Topic, ...]
    fold: Fold[Any]
    states: MutableMapping[bytes, bytes]


class Backfill:
    """Lives messages that come in the order of their log times. `tell` gets all that leaves."""

    def __init__(
        self, jobs: Sequence[BackfillJob], *, tell: Callable[[Outgoing, int], None]
    ) -> None:
        self._tell = tell
        self._living = {job.name: Living(job.fold, states=job.states) for job in jobs}
        self._takers: dict[str, list[str]] = {}
        for job in jobs:
            for topic in job.topics:
                self._takers.setdefault(topic.name, []).append(job.name)
        self._handed_on = 0
        self._time_ms = 0

    @property
    def counters(self) -> Mapping[str, Mapping[str, int]]:
        """What each job counted."""
        return {name: living.tally.counters for name, living in self._living.items()}

    def live(self, messages: Iterable[LogMessage]) -> None:
        """Take messages in, one after another."""
        for message in messages:
            self.take(message)

    def take(self, message: LogMessage) -> None:
        """Take one message in; whoever was due before it is woken first."""
        self.pass_time(message.position.log_time_ms - 1)
        if not message.is_tick:
            self._take(_incoming(message))

    def know(self, message: LogMessage) -> None:
        """Take in what is known before, though the log took it later: nobody is woken by it."""
        if not message.is_tick:
            self._take(_incoming(message))

    def pass_time(self, log_time_ms: int) -> None:
        """No message of this log time or before it will come any more."""
        if log_time_ms <= self._time_ms:
            return
        self._time_ms = log_time_ms
        for living in self._living.values():
            for out in living.pass_time(log_time_ms):
                self._leave(out, log_time_ms)

    def _take(self, message: Incoming) -> None:
        for name in self._takers.get(message.topic, ()):
            for out in self._living[name].take(message):
                self._leave(out, message.log_time_ms)

    def _leave(self, out: Outgoing, log_time_ms: int) -> None:
        """Tell of a message, and hand it on to the job that reads it."""
        self._tell(out, log_time_ms)
        if out.topic in self._takers:
            self._handed_on += 1
            place = (HANDED_ON, self._handed_on, log_time_ms)
            self._take(Incoming(out.key, out.payload, out.topic, *place))


def _incoming(message: LogMessage) -> Incoming:
    at = message.position
    return Incoming(message.key, message.value, at.topic, at.partition, at.offset, at.log_time_ms)
