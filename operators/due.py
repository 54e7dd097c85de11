"""Which keys of a bucket want to be woken, and when."""

import heapq
from collections.abc import Iterable


class Due:
    """Log times by key, rounded up to whole steps so that they rarely change.

    >>> due = Due(step_ms=10)
    >>> due.plan(b"u1", 42)
    >>> due.plan(b"u2", 71)
    >>> due.next_ms
    50
    >>> due.passed(60)
    [b'u1']
    """

    def __init__(self, *, step_ms: int) -> None:
        self.changed: set[bytes] = set()
        self._step_ms = step_ms
        self._at: dict[bytes, int] = {}
        self._waiting: list[tuple[int, bytes]] = []

    def load(self, stored: Iterable[tuple[bytes, int]]) -> None:
        """Take over what was stored."""
        self._at.update(stored)
        self._waiting = [(at_ms, key) for key, at_ms in self._at.items()]
        heapq.heapify(self._waiting)

    def at_ms(self, key: bytes) -> int | None:
        """When a key is due."""
        return self._at.get(key)

    def plan(self, key: bytes, due_ms: int | None, *, after_ms: int | None = None) -> None:
        """Have a key woken once the log has passed a time, never if it is None.

        `after_ms` has passed already: whoever wants that time again has to wait for the next step.
        """
        at_ms = None if due_ms is None else self._rounded(due_ms, after_ms)
        if at_ms == self._at.get(key):
            return
        self.changed.add(key)
        if at_ms is None:
            del self._at[key]
        else:
            self._at[key] = at_ms
            heapq.heappush(self._waiting, (at_ms, key))

    def passed(self, log_time_ms: int) -> list[bytes]:
        """The keys that are due now that the log has passed a time; they are planned no more."""
        keys = []
        while self._waiting and self._waiting[0][0] <= log_time_ms:
            at_ms, key = heapq.heappop(self._waiting)
            if self._at.get(key) == at_ms:
                del self._at[key]
                self.changed.add(key)
                keys.append(key)
        return keys

    @property
    def next_ms(self) -> int | None:
        """When somebody is due next, None for nobody."""
        while self._waiting and self._at.get(self._waiting[0][1]) != self._waiting[0][0]:
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def _rounded(self, due_ms: int, after_ms: int | None) -> int:
        earliest_ms = due_ms if after_ms is None else max(due_ms, after_ms + 1)
        return -(-earliest_ms // self._step_ms) * self._step_ms
