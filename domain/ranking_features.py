"""What the ranker is told of a user and an item, in a fixed order.

`FEATURES` is the contract between serving, training and the model: the same names, the same
order, the same arithmetic. Time is an argument, so that training computes a feature as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.candidates import SOURCES
from domain.taste import Taste

Floats = NDArray[np.float32]

HOUR_MS = 3_600_000.0
DAY_MS = 24 * HOUR_MS

# A price twice or half the usual one is worth 1/e of a fitting one.
PRICE_TOLERANCE = float(np.log(2.0))

SIMILARITY = ("cosine_long_term", "cosine_recent", "cosine_last", "cosine_nearest")
BESIDE = ("beside_latest",)
ITEM = ("log_popularity", "trending", "quality", "freshness", "price_affinity", "category_share")
HISTORY = ("log_seen", "purchased", "dismissed")
ACTIVITY = (
    "log_views_5min",
    "log_clicks_5min",
    "log_events_1h",
    "log_events_24h",
    "log_interactions",
    "recency",
)
TIME = ("hour_sin", "hour_cos", "weekend")
FEATURES: tuple[str, ...] = (
    *SIMILARITY,
    *BESIDE,
    *ITEM,
    *HISTORY,
    *ACTIVITY,
    *TIME,
    *(f"from_{source}" for source in SOURCES),
)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """How busy the user has been."""

    views_5min: int = 0
    clicks_5min: int = 0
    events_1h: int = 0
    events_24h: int = 0
    interactions: int = 0
    last_event_ms: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedUser:
    """The user's side of the features."""

    vector: Floats | None = None
    taste: Taste = field(default_factory=Taste)
    activity: Activity = Activity()


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedItems:
    """The items' side: a column an attribute, a row an item. Unknown prices are NaN.

    `popularity` counts the events that an item ever had, beside the catalogue's own score;
    `trending` is its share of the heaviest item's decayed weight, `beside` its chance to be met
    beside the user's latest items.
    """

    ids: list[str]
    vectors: Floats
    categories: list[str | None]
    prices: NDArray[np.float64]
    popularity: NDArray[np.float64]
    trending: Floats
    quality: Floats
    freshness: Floats
    beside: Floats
    from_sources: NDArray[np.bool_]


def feature_matrix(user: RankedUser, items: RankedItems, *, now_ms: int) -> Floats:
    """One row an item, one column a name of `FEATURES`.

    >>> import numpy as np
    >>> items = RankedItems(
    ...     ids=["a"], vectors=np.array([[1.0, 0.0]], np.float32), categories=[None],
    ...     prices=np.array([2.0]), popularity=np.array([0.0]), trending=np.zeros(1, np.float32),
    ...     quality=np.zeros(1, np.float32), freshness=np.ones(1, np.float32),
    ...     beside=np.zeros(1, np.float32),
    ...     from_sources=np.zeros((1, len(SOURCES)), np.bool_))
    >>> row = feature_matrix(RankedUser(vector=np.array([0.6, 0.8], np.float32)), items, now_ms=0)
    >>> round(float(row[0, FEATURES.index("cosine_long_term")]), 2)
    0.6
    """
    matrix = np.empty((len(items.ids), len(FEATURES)), np.float32)
    blocks = (
        _similarity(user, items),
        # Chances of a hundredth and of a tenth differ as much as likenesses do.
        np.sqrt(items.beside)[:, np.newaxis],
        _item_columns(user.taste, items),
        _history(user.taste, items.ids),
        _constant(_activity(user.activity, now_ms), matrix),
        _constant(_time_of(now_ms), matrix),
        items.from_sources,
    )
    start = 0
    for block in blocks:
        matrix[:, start : start + block.shape[1]] = block
        start += block.shape[1]
    return matrix


def _similarity(user: RankedUser, items: RankedItems) -> Floats:
    columns = np.zeros((len(items.ids), len(SIMILARITY)), np.float32)
    if user.vector is not None:
        columns[:, 0] = items.vectors @ user.vector
    taste = user.taste
    if taste.mean is not None:
        columns[:, 1] = items.vectors @ taste.mean
    if len(taste.latest):
        closeness = items.vectors @ taste.latest.T
        columns[:, 2] = closeness[:, 0]
        columns[:, 3] = closeness.max(axis=1)
    return columns


def _item_columns(taste: Taste, items: RankedItems) -> Floats:
    columns = np.empty((len(items.ids), len(ITEM)), np.float32)
    columns[:, 0] = np.log1p(items.popularity)
    columns[:, 1] = items.trending
    columns[:, 2] = items.quality
    columns[:, 3] = items.freshness
    columns[:, 4] = price_affinity(items.prices, taste.log_price)
    columns[:, 5] = _looked_up(taste.category_share, items.categories)
    return columns


def price_affinity(prices: NDArray[np.float64], log_price: float | None) -> NDArray[np.float64]:
    """1 for the user's usual price, falling with the ratio to it; 0 where either is unknown.

    >>> price_affinity(np.array([4.0, 8.0, np.nan]), float(np.log(4.0))).round(3).tolist()
    [1.0, 0.368, 0.0]
    """
    if log_price is None:
        return np.zeros(len(prices))
    distance = np.abs(np.log(np.maximum(prices, 0.01)) - log_price)
    return np.asarray(np.nan_to_num(np.exp(-distance / PRICE_TOLERANCE), nan=0.0))


def _history(taste: Taste, ids: list[str]) -> Floats:
    columns = np.zeros((len(ids), len(HISTORY)), np.float32)
    columns[:, 0] = np.log1p(_looked_up(taste.seen, ids))
    columns[:, 1] = [item in taste.purchased for item in ids]
    columns[:, 2] = [item in taste.dismissed for item in ids]
    return columns


def _activity(activity: Activity, now_ms: int) -> Floats:
    counts = (
        activity.views_5min,
        activity.clicks_5min,
        activity.events_1h,
        activity.events_24h,
        activity.interactions,
    )
    return np.array([*np.log1p(counts), recency(activity.last_event_ms, now_ms)], np.float32)


def recency(last_event_ms: int | None, now_ms: int) -> float:
    """1 just after an event, fading with each hour; 0 where there was none.

    >>> round(recency(0, 3_600_000), 3)
    0.368
    """
    if last_event_ms is None:
        return 0.0
    return float(np.exp(-max(0, now_ms - last_event_ms) / HOUR_MS))


def _time_of(now_ms: int) -> Floats:
    """UTC hour on the circle, and whether it is a weekend; 1970-01-01 was a Thursday."""
    angle = 2 * np.pi * (now_ms % DAY_MS) / DAY_MS
    weekend = (now_ms // DAY_MS + 3) % 7 >= 5
    return np.array([np.sin(angle), np.cos(angle), weekend], np.float32)


def _constant(values: Floats, matrix: Floats) -> Floats:
    return np.broadcast_to(values, (len(matrix), len(values)))


def _looked_up(table: Mapping[Any, float], keys: list[Any]) -> NDArray[np.float64]:
    if not table:
        return np.zeros(len(keys))
    return np.fromiter((table.get(key, 0) for key in keys), np.float64, len(keys))
