"""Items met beside an item, with weights that fade, and how fast they should fade, learned.

In news a pair of items means something for minutes, in a shop for months. So each neighbour has a
weight at several half-lives. The weights at one half-life, over their sum, foretell what is met
beside the item next; each new pair is first foretold by all of them and then counted, and those
that gave it the higher chance are believed more (a Bayesian mixture with a little forgetting, as
Herbster and Warmuth's fixed share). A score is the mixed share. As all neighbours of an item fade
alike, shares hold until the next pair, whenever they are read.

Weights are kept forward: a pair at `t` adds `2**((t - landmark) / half_life)`. So a pair touches
one row, and the landmark moves only once the numbers grow large.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp2

import numpy as np
from numpy.typing import NDArray

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NEVER_MS = 10**14

HALF_LIVES_MS = (15 * MINUTE_MS, 6 * HOUR_MS, 4 * DAY_MS, 60 * DAY_MS, NEVER_MS)
SIZE = 50
# Rows above the bound before the weakest are dropped together: newcomers get time to prove good.
SLACK = 14
# So much weight is kept back for items that were never met beside this one.
UNSEEN = 0.1
# How much one pair moves the belief in half-lives (the pairs of one session are much alike), how
# much belief is shared out again with each, and the least chance that a half-life is held to.
LEARNING = 0.1
FORGETTING = 0.002
LEAST_CHANCE = 1e-3
# The landmark moves once weights have grown by 2**REACH at the shortest half-life.
REACH = 40


def _floats() -> array[float]:
    return array("f")


@dataclass(slots=True, kw_only=True)
class Neighbors:
    """The neighbours of one item, changed in place.

    `weights` has a row for each of `places`: one number a half-life, of 32 bits, in memory as in
    its bytes, so that it makes no difference when they were written and read.
    """

    half_lives_ms: tuple[int, ...] = HALF_LIVES_MS
    version: int = 0
    landmark_ms: int = 0
    latest_ms: int = 0
    places: dict[str, int] = field(default_factory=dict)
    weights: array[float] = field(default_factory=_floats)
    totals: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.half_lives_ms)
        self.totals = self.totals or [0.0] * count
        self.shares = self.shares or [1.0 / count] * count


def meet(
    neighbors: Neighbors,
    others: Sequence[str],
    weights: Sequence[float],
    *,
    timestamp_ms: int,
    size: int = SIZE,
) -> None:
    """Count items that were met beside this one; the belief in half-lives follows.

    >>> cup = Neighbors()
    >>> meet(cup, ["saucer", "lamp"], [1.0, 0.5], timestamp_ms=1_000)
    >>> [(name, round(score, 3)) for name, score in ranked(cup)]
    [('saucer', 0.625), ('lamp', 0.312)]
    """
    if not neighbors.version:
        neighbors.landmark_ms = neighbors.latest_ms = timestamp_ms
    neighbors.version += 1
    neighbors.latest_ms = max(neighbors.latest_ms, timestamp_ms)
    if timestamp_ms - neighbors.landmark_ms > REACH * neighbors.half_lives_ms[0]:
        _move_landmark(neighbors, timestamp_ms)
    grown = _growth(neighbors, timestamp_ms)
    for other, weight in zip(others, weights, strict=True):
        _meet_one(neighbors, other, weight, [weight * factor for factor in grown])
    if len(neighbors.places) > size + SLACK:
        _keep_best(neighbors, size)


def ranked(neighbors: Neighbors, most: int = SIZE) -> list[tuple[str, float]]:
    """Give the best neighbours with their scores, best first; ties in the order of their names.

    >>> ranked(Neighbors())
    []
    """
    scores = _scores(neighbors).tolist()
    best = sorted(zip(neighbors.places, scores, strict=True), key=lambda one: (-one[1], one[0]))
    return best[:most]


def with_half_lives(neighbors: Neighbors, half_lives_ms: tuple[int, ...]) -> Neighbors:
    """Go on with other half-lives: each takes over the weights of the one nearest to it.

    >>> cup = Neighbors()
    >>> meet(cup, ["saucer"], [1.0], timestamp_ms=0)
    >>> hourly = with_half_lives(cup, (HOUR_MS,))
    >>> hourly.shares, ranked(hourly)
    ([1.0], [('saucer', 0.9090909090909091)])
    """
    old = neighbors.half_lives_ms
    if old == half_lives_ms:
        return neighbors
    at_latest = Neighbors(
        half_lives_ms=half_lives_ms,
        version=neighbors.version,
        landmark_ms=neighbors.latest_ms,
        latest_ms=neighbors.latest_ms,
        places=neighbors.places,
    )
    _move_landmark(neighbors, neighbors.latest_ms)
    nearest = [_nearest(old, wanted) for wanted in half_lives_ms]
    rows = _rows(neighbors)[:, nearest]
    at_latest.weights = array("f", rows.ravel().tolist())
    at_latest.totals = [neighbors.totals[place] for place in nearest]
    return at_latest


def _nearest(half_lives_ms: tuple[int, ...], wanted_ms: int) -> int:
    """Nearest by ratio."""
    ratios = [max(one / wanted_ms, wanted_ms / one) for one in half_lives_ms]
    return ratios.index(min(ratios))


def _growth(neighbors: Neighbors, timestamp_ms: int) -> list[float]:
    since_ms = timestamp_ms - neighbors.landmark_ms
    return [exp2(since_ms / half_life_ms) for half_life_ms in neighbors.half_lives_ms]


def _meet_one(neighbors: Neighbors, other: str, weight: float, added: list[float]) -> None:
    weights, place = neighbors.weights, neighbors.places.get(other)
    if place is None:
        neighbors.places[other] = len(neighbors.places)
        weights.extend(added)
    else:
        at = place * len(added)
        if len(added) > 1:
            _believe(neighbors, weights[at : at + len(added)], LEARNING * min(1.0, weight))
        for more in added:
            weights[at] += more
            at += 1
    neighbors.totals = [total + more for total, more in zip(neighbors.totals, added, strict=True)]


def _believe(neighbors: Neighbors, row: array[float], strength: float) -> None:
    """Move belief towards the half-lives that gave this neighbour the higher chance."""
    believed = [
        share * ((weight / total if total > 0.0 else 0.0) + LEAST_CHANCE) ** strength
        for share, weight, total in zip(neighbors.shares, row, neighbors.totals, strict=True)
    ]
    kept, even = (1.0 - FORGETTING) / sum(believed), FORGETTING / len(believed)
    neighbors.shares = [kept * share + even for share in believed]


def _scores(neighbors: Neighbors) -> NDArray[np.float64]:
    unseen = _growth(neighbors, neighbors.latest_ms)
    factors = [
        share / (total + UNSEEN * one)
        for share, total, one in zip(neighbors.shares, neighbors.totals, unseen, strict=True)
    ]
    scores: NDArray[np.float64] = _rows(neighbors) @ np.array(factors)
    return scores


def _keep_best(neighbors: Neighbors, size: int) -> None:
    scores = _scores(neighbors)
    kept = np.sort(np.argsort(-scores, kind="stable")[:size])
    names = list(neighbors.places)
    rows = _rows(neighbors)[kept].astype("f")
    neighbors.weights = array("f", rows.tobytes())
    neighbors.places = {names[old]: new for new, old in enumerate(kept.tolist())}


def _move_landmark(neighbors: Neighbors, to_ms: int) -> None:
    since_ms = to_ms - neighbors.landmark_ms
    faded = [exp2(-since_ms / half_life_ms) for half_life_ms in neighbors.half_lives_ms]
    rows = (_rows(neighbors) * np.array(faded)).astype("f")
    neighbors.weights = array("f", rows.tobytes())
    neighbors.totals = [
        total * factor for total, factor in zip(neighbors.totals, faded, strict=True)
    ]
    neighbors.landmark_ms = to_ms


def _rows(neighbors: Neighbors) -> NDArray[np.float64]:
    """A copy: the weights themselves can't grow while somebody looks at them."""
    flat = np.array(neighbors.weights, dtype=np.float64)
    return flat.reshape(-1, len(neighbors.half_lives_ms))
