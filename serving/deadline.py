"""How much time a request has left, and how much of it a stage may take."""

import time
from collections.abc import Callable, Mapping
from copy import copy

# Shares of the whole that a stage may take at most; nobody gets more than is left.
SHARE: Mapping[str, float] = {
    "context": 0.2,
    "direction": 0.1,
    "candidates": 0.35,
    "rank": 0.3,
    "explore": 0.1,
}
RESERVE = 0.05


class Deadline:
    """The time by which an answer must be out."""

    def __init__(self, total_s: float, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.total_s = total_s
        self._clock = clock
        self._started = clock()

    def ended(self) -> "Deadline":
        """The same request without any time left."""
        none_left = copy(self)
        none_left.total_s = 0.0
        return none_left

    def elapsed_s(self) -> float:
        """Since the request came."""
        return self._clock() - self._started

    def left_s(self) -> float:
        """Seconds until the answer must be on its way."""
        return self.total_s * (1 - RESERVE) - self.elapsed_s()

    def of_stage(self, stage: str, *, at_most_s: float) -> float:
        """Seconds that a stage may wait for its dependency; 0 or less: don't ask at all."""
        return min(at_most_s, SHARE[stage] * self.total_s, self.left_s())
