"""What each thing that was weighed had to do with an item's standing where it stands.

The worth of an item at its place is a sum: the ranker's score, what rewards promise, mood,
freshness, novelty, variety; where chance put it there, what it lacked to the best is the part of
chance. The ranker's own part is divided among what the ranker saw, by how much its score falls when
a thing is taken away, since a network has no parts to read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.ranking_features import FEATURES
from domain.rerank import ENGAGEMENT, FRESHNESS, MAX_DISTANCE, NO_CATEGORY, NOVELTY, Shortlist

Floats = NDArray[np.float32]

# What the ranker sees, under the names that people are told; what is in no group says nothing.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "similar_items": ("cosine_recent", "cosine_last", "cosine_nearest", "from_content"),
    "long_term_taste": ("cosine_long_term", "from_collaborative"),
    "neighbour": ("beside_latest", "from_neighbour"),
    "category_affinity": ("category_share",),
    "price_match": ("price_affinity",),
    "trending": ("trending", "from_trending"),
    "popularity": ("log_popularity", "from_popular"),
    "bought_again": ("from_repeat",),
    "quality": ("quality",),
    "freshness": ("freshness",),
}
# Where no model was asked, freshness has this share of the light score at most.
LIGHT_FRESHNESS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An item at its place: how far from what stands above it, and what it lacks to the best.

    The first has nothing above it, and no distance.
    """

    distance: float
    lacks: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The numbers of one item that its worth is made of."""

    score: float
    promise: float
    factor: float
    freshness: float
    novel: bool
    standing: Standing


def standings(
    shortlist: Shortlist, order: Sequence[int], *, diversity_weight: float, cap: int
) -> Iterator[Standing]:
    """Walk down a list that was filled, and tell how each of its items stood.

    >>> from domain.rerank import closeness_among
    >>> alike = closeness_among(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    >>> items = Shortlist(relevance=np.array([0.9, 0.8, 0.5], np.float32),
    ...     closeness=alike, categories=np.array([0, 0, 1]))
    >>> [round(one.lacks, 2) for one in standings(items, [1, 0], diversity_weight=0.0, cap=2)]
    [0.1, 0.0]
    """
    worth = (1 - diversity_weight) * shortlist.relevance
    left = np.ones(len(worth), np.bool_)
    capped = np.zeros(len(worth), np.bool_)
    distance = np.full(len(worth), MAX_DISTANCE, np.float32)
    for place, index in enumerate(order):
        within = left & ~capped
        eligible = within if within.any() else left
        blend = worth + diversity_weight / MAX_DISTANCE * distance
        yield Standing(
            distance=float(distance[index]) if place else 0.0,
            lacks=max(0.0, float(blend[eligible].max() - blend[index])),
        )
        left[index] = False
        category = shortlist.categories[index]
        taken = np.count_nonzero(shortlist.categories[~left] == category)
        if category != NO_CATEGORY and taken >= cap:
            capped |= shortlist.categories == category
        distance = np.minimum(distance, 1.0 - shortlist.closeness(index))


def parts_of(
    weighed: Weighed, *, policy_weight: float, diversity_weight: float
) -> dict[str, float]:
    """What an item's worth at its place is the sum of; a mood may take away.

    >>> first = Standing(distance=0.0, lacks=0.0)
    >>> parts = parts_of(Weighed(score=0.8, promise=0.5, factor=1.0, freshness=0.0, novel=False,
    ...     standing=first), policy_weight=0.5, diversity_weight=0.0)
    >>> round(parts["ranker"], 2), round(parts["rewards"], 2), parts["mood"]
    (0.33, 0.21, 0.0)
    """
    relevant = 1 - diversity_weight
    ranker = (1 - policy_weight) * weighed.score
    rewards = policy_weight * weighed.promise
    return {
        "ranker": relevant * ENGAGEMENT * ranker,
        "rewards": relevant * ENGAGEMENT * rewards,
        "mood": relevant * ENGAGEMENT * (ranker + rewards) * (weighed.factor - 1),
        "freshness": relevant * FRESHNESS * weighed.freshness,
        "novelty": relevant * NOVELTY * weighed.novel,
        "variety": diversity_weight / MAX_DISTANCE * weighed.standing.distance,
        "exploration": weighed.standing.lacks,
    }


def taken_away(row: Floats) -> Floats:
    """What the ranker saw of an item, and then the same without each of `GROUPS` in turn.

    >>> taken_away(np.ones(len(FEATURES), np.float32)).shape == (1 + len(GROUPS), len(FEATURES))
    True
    """
    rows = np.tile(row, (1 + len(GROUPS), 1))
    for at, names in enumerate(GROUPS.values(), start=1):
        rows[at, [FEATURES.index(name) for name in names]] = 0.0
    return rows


def falls(scores: Floats) -> dict[str, float]:
    """How much the score falls without each group, of scores of `taken_away`; rises are left out.

    >>> scores = np.full(1 + len(GROUPS), 0.5, np.float32)
    >>> scores[1] = 0.2
    >>> {name: round(fall, 2) for name, fall in falls(scores).items()}
    {'similar_items': 0.3}
    """
    by_group = zip(GROUPS, (scores[0] - scores[1:]).tolist(), strict=True)
    return {name: fall for name, fall in by_group if fall > 0}


def light_falls(*, score: float, freshness: float, trending: bool) -> dict[str, float]:
    """The same of the light score, which is made of popularity, quality and freshness."""
    fresh = min(score, LIGHT_FRESHNESS * freshness)
    return {"trending" if trending else "popularity": score - fresh, "freshness": fresh}


def weights_of(parts: Mapping[str, float], seen: Mapping[str, float]) -> dict[str, float]:
    """The share of each factor, greatest first: they sum to 1. `seen` divides the ranker's part.

    What was against the item is no factor of its being shown.

    >>> weights_of({"ranker": 0.6, "mood": -0.1, "novelty": 0.2}, {"trending": 0.1, "quality": 0.3})
    {'quality': 0.5625, 'novelty': 0.25, 'trending': 0.1875}
    """
    divided = _divided(parts, seen)
    total = sum(divided.values())
    if total <= 0:
        return {"ranker": 1.0}
    shares = {name: round(part / total, 4) for name, part in divided.items()}
    kept = {name: share for name, share in shares.items() if share > 0}
    greatest = max(kept, key=lambda name: kept[name])
    kept[greatest] = round(kept[greatest] + 1.0 - sum(kept.values()), 4)
    return dict(sorted(kept.items(), key=lambda one: (-one[1], one[0])))


def _divided(parts: Mapping[str, float], seen: Mapping[str, float]) -> dict[str, float]:
    found = {name: part for name, part in parts.items() if part > 0 and name != "ranker"}
    whole, told = max(0.0, parts.get("ranker", 0.0)), sum(seen.values())
    if not told:
        return found | ({"ranker": whole} if whole else {})
    for name, fall in seen.items():
        found[name] = found.get(name, 0.0) + whole * fall / told
    return found
