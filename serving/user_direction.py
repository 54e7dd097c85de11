"""Where the source `collaborative` looks: where the user tower points, else the embedding itself.

The tower is asked once for each state of a user, and only where the catalogue's vectors are of the
space that it was made for.
"""

import time
from collections.abc import Callable

import numpy as np
from cachetools import TTLCache
from numpy.typing import NDArray

from domain.user_tower import tower_input
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.ports import Tower
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.trace import Trace

Floats = NDArray[np.float32]

USERS = 5_000
# How long ago the last event was is part of what the tower is told, so no longer than this.
REMEMBERED_S = 900.0


class UserDirection:
    """Asks the tower, and remembers what it said of each state of a user."""

    def __init__(
        self,
        tower: Tower,
        *,
        breaker: Breaker,
        catalog: Catalog,
        metrics: Metrics,
        timeout_s: float,
        space: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tower = tower
        self._breaker = breaker
        self._catalog = catalog
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._space = space
        self._remembered: TTLCache[tuple[str, bytes], Floats] = TTLCache(
            USERS, REMEMBERED_S, timer=clock
        )

    async def of(self, admitted: Admitted, known: Known, trace: Trace) -> Floats | None:
        """The direction of a user, None where there is none."""
        held, taste = known.view.embedding, known.taste.mean
        # What it was made from had both; of one alone it has learned nothing.
        if held is None or taste is None or not self._is_made_for_these:
            return held
        key = known.view.user_id, known.view.stamp
        remembered = self._remembered.get(key)
        self._metrics.cache.labels("direction", "hit" if remembered is not None else "miss").inc()
        if remembered is not None:
            return remembered
        timeout_s = admitted.deadline.of_stage("direction", at_most_s=self._timeout_s)
        told = tower_input(held, taste, known.activity, now_ms=admitted.now_ms)
        try:
            found = await self._breaker.call(
                lambda: self._tower.direction(told), timeout_s=timeout_s
            )
        except DependencyUnavailableError as error:
            trace.fall_back("candidates", error.dependency)
            return held
        trace.note(direction=found.model_version)
        self._remembered[key] = found.vector
        return found.vector

    @property
    def _is_made_for_these(self) -> bool:
        return bool(self._space) and self._catalog.space == self._space
