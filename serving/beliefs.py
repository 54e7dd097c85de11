"""What rewards taught of items in a segment, kept until they teach more: all users share it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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

# The next answer may know a reward so much later than the online store does, while nobody says
# what changed there.
FRESH_S = 1.0
# While somebody says so it is read again all the same, in case that something was missed.
FOLLOWED_S = 60.0
SEGMENTS = 256
ITEMS_OF_SEGMENT = 20_000
SHORTLISTS = 5_000
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
class _Life:
    """Until when something is good by itself, and until when if all changes since are known."""

    alone: float
    followed: float


@dataclass(frozen=True, slots=True)
class _Kept:
    view: PosteriorView | None
    life: _Life


@dataclass(slots=True, eq=False)
class _Segment:
    """`changes` counts what was heard of the segment, so that a read knows what came meanwhile."""

    kept: dict[str, _Kept] = field(default_factory=dict)
    changes: int = 0


@dataclass(frozen=True, slots=True)
class _Assembled:
    """Beliefs of a shortlist without a context, good as long as each of them."""

    beliefs: Beliefs
    changes: int
    life: _Life


class BeliefCache:
    """Reads posteriors through the online store, and again when it heard of a change.

    Whoever follows the changes says so by `followed`; while nobody does, what is older than a
    second is read again. While the store is away it goes by what it has, and by the prior for the
    rest.
    """

    def __init__(
        self,
        posteriors: Posteriors,
        *,
        breaker: Breaker,
        prior: PosteriorView,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._posteriors = posteriors
        self._breaker = breaker
        self._prior = prior
        self._clock = clock
        self._followed_until = float("-inf")
        self._segments: LRUCache[str, _Segment] = LRUCache(SEGMENTS)
        self._assembled: LRUCache[tuple[str, tuple[str, ...]], _Assembled] = LRUCache(SHORTLISTS)

    def followed(self) -> None:
        """All changes up to now were told."""
        self._followed_until = self._clock() + FRESH_S

    def forget(self, item_id: str, segment: str) -> None:
        """Take note that rewards taught something."""
        there = self._segments.get(segment)
        if there is not None:
            there.kept.pop(item_id, None)
            there.changes += 1

    def forget_all(self) -> None:
        """Take note that changes may have been missed."""
        self._segments.clear()
        self._assembled.clear()

    async def of(
        self, item_ids: Sequence[str], segment: str, *, features: Sequence[float], timeout_s: float
    ) -> Beliefs:
        """What is believed of items in a segment, for a context of these features."""
        there, ids = self._segments.setdefault(segment, _Segment()), tuple(item_ids)
        made = self._assembled.get((segment, ids))
        if made is None or made.changes != there.changes or not self._is_good(made.life):
            lacking = await self._refresh(there, ids, segment, timeout_s)
            made = self._assemble(there, ids, lacking)
            if not lacking:
                self._assembled[segment, ids] = made
        arms = made.beliefs.arms
        context = None if arms.weights is None else np.array(features, np.float32)
        return replace(made.beliefs, arms=replace(arms, features=context))

    def _assemble(self, there: _Segment, ids: tuple[str, ...], lacking: str | None) -> _Assembled:
        found = [there.kept.get(item_id) for item_id in ids]
        views = [(one.view if one else None) or self._prior for one in found]
        beliefs = Beliefs(
            arms=arms_of(views), versions=tuple(view.version for view in views), lacking=lacking
        )
        lives = [one.life for one in found if one]
        life = _Life(
            alone=min((one.alone for one in lives), default=0.0),
            followed=min((one.followed for one in lives), default=0.0),
        )
        return _Assembled(beliefs, there.changes, life)

    async def _refresh(
        self, there: _Segment, ids: tuple[str, ...], segment: str, timeout_s: float
    ) -> str | None:
        kept, changes = there.kept, there.changes
        due = [one for one in ids if (it := kept.get(one)) is None or not self._is_good(it.life)]
        if not due:
            return None
        try:
            views = await self._breaker.call(
                lambda: self._posteriors.many(due, segment), timeout_s=timeout_s
            )
        except DependencyUnavailableError as error:
            return error.dependency
        if len(kept) > ITEMS_OF_SEGMENT:
            # To know which was used last costs each time; to make it all anew is rare.
            kept.clear()
        life = self._life(heard=there.changes != changes)
        for item_id, view in zip(due, views, strict=True):
            kept[item_id] = _Kept(view, life)
        return None

    def _life(self, *, heard: bool) -> _Life:
        """What was heard of during a read may be newer than what was read."""
        now = self._clock()
        return _Life(alone=now + FRESH_S, followed=now + (FRESH_S if heard else FOLLOWED_S))

    def _is_good(self, life: _Life) -> bool:
        now = self._clock()
        return now <= life.alone or now <= min(life.followed, self._followed_until)


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


def arms_of(views: Sequence[PosteriorView], features: NDArray[np.float32] | None = None) -> Arms:
    """What is known as policies take it, a row an item."""
    some = any(view.weights is not None for view in views)
    return Arms(
        alpha=np.array([view.alpha for view in views], np.float64),
        beta=np.array([view.beta for view in views], np.float64),
        weights=np.stack([_weights_of(view) for view in views]) if some else None,
        features=features if some else None,
    )


def _weights_of(view: PosteriorView) -> NDArray[np.float32]:
    return NO_WEIGHTS if view.weights is None else view.weights
