"""What rewards taught of items in a segment, kept for a moment: all users of a segment share it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from domain.policies import Arms
from domain.segments import CONTEXT_DIM
from serving.breaker import Breaker, DependencyUnavailableError
from serving.ports import Posteriors
from stores.posteriors import PosteriorView

Doubles = NDArray[np.float64]

# The next answer may know a reward so much later than the online store does.
FRESH_S = 1.0
SEGMENTS = 256
ITEMS_OF_SEGMENT = 5_000
NO_WEIGHTS = np.zeros(CONTEXT_DIM, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Beliefs:
    """The posteriors of some items, a place an item; `versions` are 0 where nothing was learned.

    `lacking` names the dependency without which they were put together.
    """

    arms: Arms
    versions: tuple[int, ...]
    lacking: str | None = None

    @cached_property
    def uncertainty(self) -> Doubles:
        """The document's: one over the root of what was counted."""
        uncertainty: Doubles = 1.0 / np.sqrt(self.arms.alpha + self.arms.beta)
        return uncertainty


@dataclass(frozen=True, slots=True)
class _Kept:
    view: PosteriorView | None
    until: float


class BeliefCache:
    """Reads posteriors through the online store; what is older than a second is read again.

    While the store is away it goes by what it has, and by the prior for the rest.
    """

    def __init__(
        self,
        posteriors: Posteriors,
        *,
        breaker: Breaker,
        prior: PosteriorView,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._posteriors = posteriors
        self._breaker = breaker
        self._prior = prior
        self._fresh_s = fresh_s
        self._clock = clock
        self._segments: LRUCache[str, dict[str, _Kept]] = LRUCache(SEGMENTS)

    async def of(
        self, item_ids: Sequence[str], segment: str, *, features: Sequence[float], timeout_s: float
    ) -> Beliefs:
        """What is believed of items in a segment, for a context of these features."""
        kept = self._segments.setdefault(segment, {})
        lacking = await self._refresh(kept, item_ids, segment, timeout_s)
        found = [kept.get(item_id) for item_id in item_ids]
        views = [(one.view if one else None) or self._prior for one in found]
        return Beliefs(
            arms=arms_of(views, np.array(features, np.float32)),
            versions=tuple(view.version for view in views),
            lacking=lacking,
        )

    async def _refresh(
        self, kept: dict[str, _Kept], item_ids: Sequence[str], segment: str, timeout_s: float
    ) -> str | None:
        now = self._clock()
        due = [
            item_id for item_id in item_ids if (one := kept.get(item_id)) is None or one.until < now
        ]
        if not due:
            return None
        try:
            views = await self._breaker.call(
                lambda: self._posteriors.many(due, segment), timeout_s=timeout_s
            )
        except DependencyUnavailableError as error:
            return error.dependency
        if len(kept) > ITEMS_OF_SEGMENT:
            # A second's memory is soon made anew, and to know which was used last costs each time.
            kept.clear()
        until = self._clock() + self._fresh_s
        for item_id, view in zip(due, views, strict=True):
            kept[item_id] = _Kept(view, until)
        return None


def prior_view(alpha: float, beta: float) -> PosteriorView:
    """An item of which nothing is known; its version is 0."""
    return PosteriorView(
        version=0,
        log_time_ms=0,
        timestamp_ms=0,
        alpha=alpha,
        beta=beta,
        prior_alpha=alpha,
        prior_beta=beta,
    )


def arms_of(views: Sequence[PosteriorView], features: NDArray[np.float32] | None) -> Arms:
    """What is known as policies take it, a row an item."""
    some = features is not None and any(view.weights is not None for view in views)
    return Arms(
        alpha=np.array([view.alpha for view in views], np.float64),
        beta=np.array([view.beta for view in views], np.float64),
        weights=np.stack([_weights_of(view) for view in views]) if some else None,
        features=features,
    )


def _weights_of(view: PosteriorView) -> NDArray[np.float32]:
    return NO_WEIGHTS if view.weights is None else view.weights
