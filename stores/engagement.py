"""What people did with items, and where items trend, in the online store."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from schemas.redis_keys import ITEM, ITEM_FEATURES, TRENDING
from schemas.types import ItemEngagement
from stores.newest import newest
from stores.online import OnlineWriter

SCRIPT = "engagement"
# The segment and window behind `trending_score`.
MAIN_TREND = "all:24h"

COUNTS = (
    *("views", "clicks", "conversions", "carts", "dismissals"),
    *("views_1h", "clicks_1h", "conversions_1h", "views_24h", "clicks_24h", "conversions_24h"),
)
RATES = ("avg_dwell_ms", "avg_completion_rate", "ctr", "cvr")


class EngagementWriter:
    """Writes what the job emits, a batch in one round trip; an older one never replaces a newer."""

    def __init__(self, online: OnlineWriter) -> None:
        self._online = online

    def write(self, told: Sequence[ItemEngagement]) -> int:
        """Write the latest of each item; answer how many were not older."""
        latest = newest(told, attrgetter("item_id"))
        return self._online.run_script(SCRIPT, (_call(one) for one in latest.values()))


def _call(told: ItemEngagement) -> tuple[list[str], list[Any]]:
    trends = dict(zip(told.trends, told.trending, strict=True))
    arguments = [
        *(told.item_id, told.version, told.log_time_ms, TRENDING.max_size, len(trends)),
        *(part for name, weight in trends.items() for part in (TRENDING.of(name), repr(weight))),
        *_fields(told, trends.get(MAIN_TREND, 0.0)),
    ]
    return [ITEM_FEATURES.of(told.item_id), ITEM.of(told.item_id)], arguments


def _fields(told: ItemEngagement, trending_score: float) -> Iterator[Any]:
    yield from ("timestamp_ms", told.timestamp_ms, "trending_score", repr(trending_score))
    yield from ("ctr_24h", repr(told.clicks_24h / max(1, told.views_24h)))
    for name in COUNTS:
        yield from (name, getattr(told, name))
    for name in RATES:
        yield from (name, repr(getattr(told, name)))
