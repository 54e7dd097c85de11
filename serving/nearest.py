"""What was found near a vector, for as long as the vector hardly moves.

An event moves a user's vectors a little, and hardly changes what is near them: of the fifty items
nearest to a vector 99.8 % were among the two hundred nearest to one at a cosine of 0.99. Which of
the two hundred come into the list, and in what order, is decided anew by all that is known now.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from domain.candidates import Rows
from serving.metrics import Metrics

Floats = NDArray[np.float32]

NEAR_ENOUGH = 0.99
# An item that is new may be missing so long among what is near; it isn't among new and trending.
LIFETIME_S = 30.0
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Found:
    vector: Floats
    rows: Rows
    at: float


class NearestMemory:
    """Remembers searches, each under whatever tells it from others."""

    def __init__(self, *, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._found: LRUCache[Hashable, _Found] = LRUCache(KEPT)

    def find(self, key: Hashable, vector: Floats) -> Rows | None:
        """What was found lately near enough to this vector."""
        found = self._found.get(key)
        usable = found is not None and self._is_usable(found, vector)
        self._metrics.cache.labels("nearest", "hit" if usable else "miss").inc()
        return found.rows if found and usable else None

    def keep(self, key: Hashable, vector: Floats, rows: Rows) -> None:
        """Remember what a search found."""
        self._found[key] = _Found(vector, rows, self._clock())

    def _is_usable(self, found: _Found, vector: Floats) -> bool:
        if self._clock() - found.at >= LIFETIME_S:
            return False
        return bool(found.vector is vector or found.vector @ vector >= NEAR_ENOUGH)
