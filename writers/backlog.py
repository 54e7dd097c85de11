"""Records on their way to a store, some of which wait for a newer one to replace them.

A store that pays dearly for each write, and from which nobody needs the latest at once, is spared
what is overtaken within some seconds. What waits isn't committed: a crash has it read again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from schemas.types import Record
from stores.event_log import LogMessage
from stores.log_producer import Position
from writers.batch import Carried

# So many wait at most: some 80 MB of users' vectors.
MOST_WAITING = 10_000

_Key: TypeAlias = tuple[str, bytes | None]


@dataclass(frozen=True, kw_only=True)
class Linger:
    """Which records may wait for a newer one of their key, and for how long."""

    seconds: float
    may: Callable[[Record], bool]


@dataclass(slots=True)
class _Waiting:
    latest: Carried
    first: Position
    since: float


class Backlog:
    """What was read and isn't written: of each key that may wait, the latest record only."""

    def __init__(
        self, linger: Linger | None, *, clock: Callable[[], float], most: int = MOST_WAITING
    ) -> None:
        self._linger = linger
        self._clock = clock
        self._most = most
        self._prompt: list[Carried] = []
        # In the order in which they began to wait; a newer record takes its predecessor's place.
        self._waiting: dict[_Key, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._prompt) + len(self._waiting)

    def add(self, carried: Iterable[Carried]) -> int:
        """Take in records in the log's order; answers how many needn't be written any more."""
        return sum(map(self._add, carried))

    def due(self, most: int, *, hurry: bool = False) -> list[Carried]:
        """What is to be written now; it stays until it is `written`. In a hurry nothing waits."""
        return [*self._prompt, *islice(self._ripe(hurry=hurry), most)]

    def written(self, carried: Sequence[Carried]) -> None:
        """Let go of what was due."""
        self._prompt.clear()
        for one in carried:
            self._waiting.pop(_key(one.message), None)

    def clear(self) -> None:
        """Forget everything: it will be read again."""
        self._prompt.clear()
        self._waiting.clear()

    def first_offsets(self) -> dict[tuple[str, int], int]:
        """Where reading would have to begin again to find all of this."""
        positions = [one.message.position for one in self._prompt]
        positions += [one.first for one in self._waiting.values()]
        return first_offsets(positions)

    def _add(self, one: Carried) -> bool:
        key, position = _key(one.message), one.message.position
        known = self._waiting.get(key)
        if self._linger is None or not self._linger.may(one.record):
            self._prompt.append(one)
            return self._waiting.pop(key, None) is not None
        if known is None:
            self._waiting[key] = _Waiting(one, position, self._clock())
            return False
        known.latest = one
        return True

    def _ripe(self, *, hurry: bool) -> Iterator[Carried]:
        if self._linger is None:
            return
        before = self._clock() - self._linger.seconds
        too_many = len(self._waiting) - self._most
        for number, one in enumerate(self._waiting.values()):
            if not hurry and number >= too_many and one.since > before:
                return
            yield one.latest


def first_offsets(positions: Iterable[Position]) -> dict[tuple[str, int], int]:
    """The lowest offset of each partition."""
    first: dict[tuple[str, int], int] = {}
    for at in positions:
        partition = at.topic, at.partition
        first[partition] = min(at.offset, first.get(partition, at.offset))
    return first


def _key(message: LogMessage) -> _Key:
    return message.position.topic, message.key
