"""Rankings that were made lately: of a user who has done nothing since, they need no new one.

A ranking goes by the user's versions, so an event of the user ends it at once. What else changes
may be a little late in it: how popular items are by as long as the documents let an answer be kept
for somebody who is active, changes of the catalogue by some seconds.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachetools import LRUCache

from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.stages.shortlist import Shortlist

KEPT = 5_000
LIFETIME_S = 180.0
# For so long a ranking need not know of items that came, went or changed.
CATALOG_S = 2.0
# The documents' time bucket of a cached answer.
BUCKET_MS = 900_000


@dataclass(frozen=True, slots=True)
class _Made:
    shortlist: Shortlist
    at: float
    catalog_version: int


class Rankings:
    """Shortlists by user, state of the user, and what was asked."""

    def __init__(
        self, catalog: Catalog, *, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._clock = clock
        self._made: LRUCache[Hashable, _Made] = LRUCache(KEPT)

    def find(self, admitted: Admitted, known: Known) -> Shortlist | None:
        """The ranking, if one was made of this very state and may still be used."""
        made = self._made.get(_key(admitted, known))
        usable = made is not None and self._is_usable(made)
        self._metrics.cache.labels("ranking", "hit" if usable else "miss").inc()
        return made.shortlist if made and usable else None

    def keep(self, admitted: Admitted, known: Known, shortlist: Shortlist) -> None:
        """Remember a ranking that was made with nothing lacking."""
        self._made[_key(admitted, known)] = _Made(
            shortlist, self._clock(), self._catalog.entries_version
        )

    def _is_usable(self, made: _Made) -> bool:
        age_s = self._clock() - made.at
        changed = made.catalog_version != self._catalog.entries_version
        young = age_s < (CATALOG_S if changed else LIFETIME_S)
        return young and bool(self._catalog.column("servable")[made.shortlist.rows].all())


def _key(admitted: Admitted, known: Known) -> Hashable:
    """Everything that a ranking follows from, but the catalogue and the hour."""
    # All of whom nothing is known get the same.
    whose = ("", b"") if known.is_cold else (known.view.user_id, known.view.stamp)
    return (
        *whose,
        admitted.wanted,
        admitted.count,
        admitted.at_ms // BUCKET_MS,
    )
