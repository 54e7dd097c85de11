"""What people did with one item: in all, in the last hour and day, and where it trends.

The windows end at the item's latest event and are counted in buckets by event time, so an event out
of order is counted where it belongs. Trending weights are forward-decayed logarithms
(`domain/popularity.py`), one a half-life and segment; of countries and of devices only the
heaviest few are kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from domain.popularity import NOTHING, add_weight, popularity_weight
from schemas.types import ItemEngagement, ItemSignal

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

TRENDING_HALF_LIVES_MS = MappingProxyType(
    {"1h": HOUR_MS, "24h": 24 * HOUR_MS, "7d": 7 * 24 * HOUR_MS}
)
EVERYBODY = "all"
# What is longer is a window left open.
LONGEST_DWELL_MS = 24 * HOUR_MS
# Of each kind of segment.
MOST_SEGMENTS = 4
COUNTED = ("view", "click", "purchase")
_PLACES = {name: place for place, name in enumerate(COUNTED)}


@dataclass(frozen=True, kw_only=True)
class Span:
    """A window: how fine its buckets are, and how many."""

    bucket_ms: int
    buckets: int


SPANS = MappingProxyType(
    {
        "1h": Span(bucket_ms=5 * MINUTE_MS, buckets=12),
        "24h": Span(bucket_ms=HOUR_MS, buckets=24),
    }
)

# Buckets by their number since 1970; each has a count for every type of COUNTED.
Buckets = dict[int, list[int]]


def _no_buckets() -> tuple[Buckets, ...]:
    return tuple({} for _ in SPANS)


@dataclass(slots=True, kw_only=True)
class Engagement:
    """What is counted of one item, changed in place by `engage`.

    `trends` has the weights of each segment in the order of `TRENDING_HALF_LIVES_MS`.
    """

    views: int = 0
    clicks: int = 0
    conversions: int = 0
    carts: int = 0
    dismissals: int = 0
    dwells: int = 0
    dwell_ms: int = 0
    completions: int = 0
    completion: float = 0.0
    recent: tuple[Buckets, ...] = field(default_factory=_no_buckets)
    trends: dict[str, list[float]] = field(default_factory=dict)


_TOTALS = MappingProxyType(
    {
        "view": "views",
        "click": "clicks",
        "purchase": "conversions",
        "add_to_cart": "carts",
        "dismiss": "dismissals",
    }
)


def engage(engagement: Engagement, signal: ItemSignal, *, latest_ms: int) -> None:
    """Count an event; `latest_ms` is the item's latest event time, this one's included.

    >>> seen = Engagement()
    >>> view = ItemSignal(item_id="i1", event_id="e1", user_id="u1", event_type="view",
    ...                   timestamp_ms=0, log_time_ms=9, country="DE")
    >>> engage(seen, view, latest_ms=0)
    >>> seen.views, sorted(seen.trends)
    (1, ['all', 'country:DE'])
    """
    total = _TOTALS.get(signal.event_type)
    if total is not None:
        setattr(engagement, total, getattr(engagement, total) + 1)
    if signal.duration_ms is not None:
        engagement.dwells += 1
        engagement.dwell_ms += min(signal.duration_ms, LONGEST_DWELL_MS)
    if signal.completion_rate is not None:
        engagement.completions += 1
        engagement.completion += signal.completion_rate
    _count(engagement, signal, latest_ms)
    _trend(engagement, signal)


def engagement_record(
    engagement: Engagement, *, item_id: str, version: int, latest_ms: int, log_time_ms: int
) -> ItemEngagement:
    """Tell what is counted of an item, as of its latest event.

    >>> engagement_record(Engagement(views=4, clicks=1), item_id="i1", version=5, latest_ms=0,
    ...                   log_time_ms=9).ctr
    0.25
    """
    hour, day = (_window(engagement, name, latest_ms) for name in SPANS)
    return ItemEngagement(
        item_id=item_id,
        version=version,
        timestamp_ms=latest_ms,
        log_time_ms=log_time_ms,
        views=engagement.views,
        clicks=engagement.clicks,
        conversions=engagement.conversions,
        carts=engagement.carts,
        dismissals=engagement.dismissals,
        avg_dwell_ms=engagement.dwell_ms / max(1, engagement.dwells),
        avg_completion_rate=engagement.completion / max(1, engagement.completions),
        ctr=engagement.clicks / max(1, engagement.views),
        cvr=engagement.conversions / max(1, engagement.clicks),
        views_1h=hour["view"],
        clicks_1h=hour["click"],
        conversions_1h=hour["purchase"],
        views_24h=day["view"],
        clicks_24h=day["click"],
        conversions_24h=day["purchase"],
        trends=tuple(
            f"{segment}:{window}"
            for segment in engagement.trends
            for window in TRENDING_HALF_LIVES_MS
        ),
        trending=tuple(weight for weights in engagement.trends.values() for weight in weights),
    )


def _count(engagement: Engagement, signal: ItemSignal, latest_ms: int) -> None:
    place = _PLACES.get(signal.event_type)
    for span, buckets in zip(SPANS.values(), engagement.recent, strict=True):
        oldest = latest_ms // span.bucket_ms - span.buckets + 1
        for gone in [bucket for bucket in buckets if bucket < oldest]:
            del buckets[gone]
        bucket = signal.timestamp_ms // span.bucket_ms
        if place is not None and bucket >= oldest:
            buckets.setdefault(bucket, [0] * len(COUNTED))[place] += 1


def _window(engagement: Engagement, name: str, latest_ms: int) -> Mapping[str, int]:
    span, buckets = SPANS[name], engagement.recent[list(SPANS).index(name)]
    oldest = latest_ms // span.bucket_ms - span.buckets + 1
    held = [counts for bucket, counts in buckets.items() if bucket >= oldest]
    return {kind: sum(counts[place] for counts in held) for kind, place in _PLACES.items()}


def _trend(engagement: Engagement, signal: ItemSignal) -> None:
    weight = popularity_weight(signal.event_type)
    if weight <= 0.0:
        return
    for segment in _segments(signal):
        known = engagement.trends.get(segment)
        if known is None:
            _make_room(engagement.trends, segment)
            known = [NOTHING] * len(TRENDING_HALF_LIVES_MS)
        engagement.trends[segment] = [
            add_weight(
                trending,
                weight=weight,
                timestamp_ms=signal.timestamp_ms,
                half_life_ms=half_life_ms,
            )
            for trending, half_life_ms in zip(known, TRENDING_HALF_LIVES_MS.values(), strict=True)
        ]


def _segments(signal: ItemSignal) -> Iterator[str]:
    yield EVERYBODY
    if signal.country:
        yield f"country:{signal.country}"
    if signal.device_type:
        yield f"device:{signal.device_type}"


def _make_room(trends: dict[str, list[float]], segment: str) -> None:
    """Let the lightest of its kind go, by the slowest half-life, where there are enough."""
    kind = segment.partition(":")[0]
    alike = [name for name in trends if name.partition(":")[0] == kind]
    if len(alike) >= MOST_SEGMENTS:
        del trends[min(alike, key=lambda name: (trends[name][-1], name))]
