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
    eligible = filling.eligible()
    winners, surest = filling.best(eligible)
    belief = int(plan.tickets[place] * len(winners))
    chosen = winners[belief]
    if plan.explores(place):
        pool = np.flatnonzero(eligible)[:pool_size]
        chosen = int(pool[int(plan.draws[place] * len(pool))])
    by_belief = (1.0 - plan.rate) * winners.count(chosen) / len(winners)
    return Slot(
        index=chosen,
        propensity=by_belief + plan.rate * _chance_in_pool(chosen, eligible, pool_size),
        explored=chosen != surest,
        belief=belief,
    )


def _chance_in_pool(chosen: int, eligible: Mask, pool_size: int) -> float:
    """The pool is the first of the eligible; all of it is equally likely."""
    if np.count_nonzero(eligible[: chosen + 1]) > pool_size:
        return 0.0
    return 1.0 / min(pool_size, np.count_nonzero(eligible))


class _Filling:
    """What is left to choose from. Its arrays change in place with every `take`."""

    def __init__(self, shortlist: Shortlist, *, diversity_weight: float, cap: int) -> None:
        count = len(shortlist.relevance)
        self.closeness = shortlist.closeness
        self.categories = shortlist.categories
        self.weight = diversity_weight
        self.worth = (1 - diversity_weight) * _beliefs(shortlist)
        # Of each belief about each item, with variety; made once and written over place by place.
        self.blend: Floats = np.empty_like(self.worth)
        self.cap = cap
        self.left: Mask = np.ones(count, np.bool_)
        self.within: Mask = np.ones(count, np.bool_)
        self.distance: Floats = np.full(count, MAX_DISTANCE, np.float32)
        self.taken_of: dict[int, int] = {}

    def eligible(self) -> Mask:
        """What is left within the category caps; all that is left when the caps leave nothing."""
        return self.within if self.within.any() else self.left

    def best(self, eligible: Mask) -> tuple[list[int], int]:
        """The item of the greatest blend by each belief, and by what is expected.

        On a tie it is the more relevant one.
        """
        variety = np.where(eligible, self.weight / MAX_DISTANCE * self.distance, -np.inf)
        np.add(self.worth, variety, out=self.blend, casting="same_kind")
        winners: list[int] = self.blend.argmax(axis=1).tolist()
        surest = winners[-1]
        return winners[:-1] or winners, surest

    def take(self, index: int) -> None:
        """Remove an item and measure the others against it."""
        self.left[index] = self.within[index] = False
        self._count_category(int(self.categories[index]))
        if self.weight > 0:
            np.minimum(self.distance, 1.0 - self.closeness(index), out=self.distance)

    def _count_category(self, category: int) -> None:
        if category == NO_CATEGORY:
            return
        self.taken_of[category] = self.taken_of.get(category, 0) + 1
        if self.taken_of[category] >= self.cap:
            self.within &= self.categories != category


def _beliefs(shortlist: Shortlist) -> Floats:
    """A row for each draw, and in the last what is expected."""
    expected = shortlist.relevance[np.newaxis]
    return expected if shortlist.drawn is None else np.vstack([shortlist.drawn, expected])
