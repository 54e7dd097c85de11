"""Fills the places of a list one by one: relevance against variety, with exploration.

Each place goes to the item of the greatest blend of relevance and distance to what stands above
it (document 001, algorithm 4), or, with the chance that the plan gives, to any of a pool of other
good items. What relevance a posterior leaves open was drawn some times beforehand, and each place
follows one of these draws, all equally likely. All ways are known, so the chance that an item came
to its place, given the draws and what stands above it, is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.explore import ExplorationPlan

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

POOL_SIZE = 100
NO_CATEGORY = -1

# Cosine distance of opposite vectors.
MAX_DISTANCE = 2.0

# Shares of the document's engagement, freshness and novelty, without its diversity (0.15).
ENGAGEMENT, FRESHNESS, NOVELTY = 0.70 / 0.85, 0.10 / 0.85, 0.05 / 0.85


# How like one item the others are, by its place: the cosines of their vectors.
Closeness = Callable[[int], Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shortlist:
    """Items in falling relevance; categories as numbers.

    `drawn` has a row for each draw of what the items may be worth; without any, relevance is sure.
    """

    relevance: Floats
    closeness: Closeness
    categories: NDArray[np.int64]
    drawn: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A filled place: which item of the shortlist, and how likely it was, given those above.

    `explored` says that it isn't the item that would stand there if nothing were left to chance,
    `belief` which of the draws the place went by.
    """

    index: int
    propensity: float
    explored: bool
    belief: int = 0


def closeness_among(vectors: Floats) -> Closeness:
    """How like each other items with these vectors of unit length are.

    >>> closeness_among(np.eye(2, dtype=np.float32))(1).tolist()
    [0.0, 1.0]
    """
    return lambda index: vectors @ vectors[index]


def relevance_of(scores: Floats, *, freshness: Floats, novel: Mask) -> Floats:
    """What an item is worth in any place: mostly its score, a little that it is new.

    >>> one = np.ones(1, np.float32)
    >>> relevance_of(one, freshness=one, novel=np.array([True])).round(3).tolist()
    [1.0]
    """
    worth = ENGAGEMENT * scores + FRESHNESS * freshness + NOVELTY * novel
    return np.asarray(worth, np.float32)


def category_cap(count: int) -> int:
    """How many of one category a list holds before the others have had their turn.

    >>> category_cap(10), category_cap(100)
    (5, 25)
    """
    return max(5, count // 4)


def fill_slots(
    shortlist: Shortlist,
    plan: ExplorationPlan,
    *,
    diversity_weight: float,
    cap: int,
    pool_size: int = POOL_SIZE,
) -> list[Slot]:
    """As many slots as the plan has, or as the shortlist has items.

    >>> alike = closeness_among(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    >>> items = Shortlist(relevance=np.array([0.9, 0.8, 0.5], np.float32),
    ...     closeness=alike, categories=np.array([0, 0, 1]))
    >>> plan = ExplorationPlan(
    ...     rate=0.0, coins=(1.0, 1.0), draws=(0.0, 0.0), tickets=(0.0, 0.0))
    >>> [slot.index for slot in fill_slots(items, plan, diversity_weight=0.5, cap=2)]
    [0, 2]
    """
    filling = _Filling(shortlist, diversity_weight=diversity_weight, cap=cap)
    slots = []
    for place in range(min(len(plan.coins), len(shortlist.relevance))):
        slot = _choose(filling, plan, place, pool_size)
        filling.take(slot.index)
        slots.append(slot)
    return slots


def _choose(filling: "_Filling", plan: ExplorationPlan, place: int, pool_size: int) -> Slot:
    winners, surest = filling.best()
    belief = int(plan.tickets[place] * len(winners))
    chosen = winners[belief]
    if plan.explores(place):
        pool = filling.pool(pool_size)
        chosen = int(pool[int(plan.draws[place] * len(pool))])
    by_belief = (1.0 - plan.rate) * winners.count(chosen) / len(winners)
    by_luck = plan.rate * filling.chance_in_pool(chosen, pool_size) if plan.rate else 0.0
    return Slot(
        index=chosen,
        propensity=by_belief + by_luck,
        explored=chosen != surest,
        belief=belief,
    )


class _Filling:
    """What is left to choose from. Its arrays change in place with every `take`.

    `blend` is what each belief makes of each item beside those that were taken. It can only fall,
    so each of those is reckoned in once.
    """

    def __init__(self, shortlist: Shortlist, *, diversity_weight: float, cap: int) -> None:
        self.shortlist = shortlist
        self.weight = diversity_weight
        self.cap = cap
        self.worth = (1 - diversity_weight) * _beliefs(shortlist)
        self.blend = self.worth + self._variety(np.float32(MAX_DISTANCE))
        self.eligible: Mask = np.ones(len(shortlist.relevance), np.bool_)
        self.count = len(shortlist.relevance)
        self.taken: list[int] = []
        self.taken_of: dict[int, int] = {}

    def best(self) -> tuple[list[int], int]:
        """The item of the greatest blend by each belief, and by what is expected.

        On a tie it is the more relevant one.
        """
        winners: list[int] = self.blend.argmax(axis=1).tolist()
        return winners[:-1] or winners, winners[-1]

    def pool(self, size: int) -> NDArray[np.int64]:
        """What exploration takes from: the first of the eligible."""
        return np.flatnonzero(self.eligible)[:size]

    def chance_in_pool(self, chosen: int, size: int) -> float:
        """All of the pool is equally likely."""
        if self.count > size and np.count_nonzero(self.eligible[: chosen + 1]) > size:
            return 0.0
        return 1.0 / min(size, self.count)

    def take(self, index: int) -> None:
        """Remove an item and measure the others against it."""
        self.taken.append(index)
        if self.weight > 0:
            np.minimum(self.blend, self.worth + self._beside(index), out=self.blend)
        if not self._fills_category(index):
            self.eligible[index] = False
            self.blend[:, index] = -np.inf
            self.count -= 1
        if not self.count:
            self._lift_caps()

    def _variety(self, distance: "Floats | np.float32") -> "Floats | np.float32":
        return self.weight / MAX_DISTANCE * distance

    def _beside(self, index: int) -> "Floats | np.float32":
        return self._variety(1.0 - self.shortlist.closeness(index))

    def _fills_category(self, index: int) -> bool:
        """Count the item's category; when it has its share the rest of it isn't eligible."""
        category = int(self.shortlist.categories[index])
        if category == NO_CATEGORY:
            return False
        self.taken_of[category] = self.taken_of.get(category, 0) + 1
        if self.taken_of[category] < self.cap:
            return False
        self._close(self.shortlist.categories == category)
        return True

    def _close(self, items: Mask) -> None:
        self.eligible[items] = False
        self.eligible[self.taken] = False
        self.blend[:, ~self.eligible] = -np.inf
        self.count = int(np.count_nonzero(self.eligible))

    def _lift_caps(self) -> None:
        """All that is left, when the caps leave nothing; from now on there are none."""
        self.cap = len(self.shortlist.relevance) + 1
        self.blend = self.worth + self._variety(np.float32(MAX_DISTANCE))
        if self.weight > 0:
            for index in self.taken:
                np.minimum(self.blend, self.worth + self._beside(index), out=self.blend)
        self.eligible[:] = True
        self._close(np.zeros(len(self.eligible), np.bool_))


def _beliefs(shortlist: Shortlist) -> Floats:
    """A row for each draw, and in the last what is expected."""
    expected = shortlist.relevance[np.newaxis]
    return expected if shortlist.drawn is None else np.vstack([shortlist.drawn, expected])
