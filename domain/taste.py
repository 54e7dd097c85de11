"""What a user's recent interactions say: directions, categories, prices, items already met."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domain.events import ACTION_WEIGHTS

Floats = NDArray[np.float32]

HOUR_MS = 3_600_000.0
FADE_HOURS = 24.0
LATEST = 8

NO_LATEST = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Met:
    """An interaction with an item that the catalogue knows; `vector` is of unit length."""

    item_id: str
    action: str
    at_ms: int
    vector: Floats | None = None
    category: str | None = None
    price: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Taste:
    """The sum of what was met, all newest first.

    `latest` holds vectors of the newest liked items, `liked` names them. `again` is what was bought
    by somebody who has bought something twice: others don't buy again what they have.
    """

    mean: Floats | None = None
    latest: Floats = field(default_factory=lambda: NO_LATEST)
    liked: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    category_share: Mapping[str, float] = field(default_factory=dict)
    log_price: float | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    purchased: frozenset[str] = frozenset()
    dismissed: frozenset[str] = frozenset()


def taste_of(met: Sequence[Met], *, now_ms: int) -> Taste:
    """The taste that shows in interactions, which come newest first.

    >>> taste = taste_of([Met(item_id="a", action="click", at_ms=0, category="mugs")], now_ms=0)
    >>> taste.category_share, taste.seen
    ({'mugs': 1.0}, {'a': 1})
    """
    liked = [(one, weight) for one in met if (weight := weight_of(one, now_ms=now_ms)) > 0]
    return Taste(
        mean=_mean_direction(liked),
        latest=_latest(liked),
        liked=tuple(dict.fromkeys(one.item_id for one, _ in liked)),
        again=_again(met),
        category_share=_shares(liked),
        log_price=_log_price(liked),
        seen=dict(Counter(one.item_id for one in met)),
        purchased=frozenset(one.item_id for one in met if one.action == "purchase"),
        dismissed=frozenset(one.item_id for one in met if one.action == "dismiss"),
    )


def weight_of(one: Met, *, now_ms: int) -> float:
    """What an interaction counts now: its action's weight, fading over a day.

    >>> weight_of(Met(item_id="a", action="purchase", at_ms=0), now_ms=0)
    1.0
    """
    age_hours = max(0, now_ms - one.at_ms) / HOUR_MS
    return ACTION_WEIGHTS.get(one.action, 0.0) * float(np.exp(-age_hours / FADE_HOURS))


def _mean_direction(liked: Sequence[tuple[Met, float]]) -> Floats | None:
    weighted = [weight * one.vector for one, weight in liked if one.vector is not None]
    if not weighted:
        return None
    total = np.sum(weighted, axis=0)
    length = float(np.linalg.norm(total))
    return (total / length).astype(np.float32) if length > 0 else None


def _latest(liked: Sequence[tuple[Met, float]]) -> Floats:
    vectors = [one.vector for one, _ in liked if one.vector is not None][:LATEST]
    return np.stack(vectors) if vectors else NO_LATEST


def _again(met: Sequence[Met]) -> tuple[str, ...]:
    bought = Counter(one.item_id for one in met if one.action == "purchase")
    return tuple(bought) if max(bought.values(), default=0) > 1 else ()


def _shares(liked: Sequence[tuple[Met, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for one, weight in liked:
        if one.category is not None:
            sums[one.category] = sums.get(one.category, 0.0) + weight
    total = sum(sums.values())
    return {category: weight / total for category, weight in sums.items()}


def _log_price(liked: Sequence[tuple[Met, float]]) -> float | None:
    priced = [(np.log(one.price), weight) for one, weight in liked if one.price]
    if not priced:
        return None
    logs, weights = zip(*priced, strict=True)
    return float(np.average(logs, weights=weights))
