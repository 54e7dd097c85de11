from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.engagement import (
    HOUR_MS,
    LONGEST_DWELL_MS,
    MINUTE_MS,
    MOST_SEGMENTS,
    SPANS,
    TRENDING_HALF_LIVES_MS,
    Engagement,
    engage,
    engagement_record,
)
from domain.popularity import popularity_at, popularity_weight
from schemas.types import EventType, ItemEngagement, ItemSignal

NOW_MS = 1_700_000_000_000
kinds = st.sampled_from(["view", "click", "purchase", "add_to_cart", "dismiss"])
times = st.integers(NOW_MS - 26 * HOUR_MS, NOW_MS)


def signal(kind: EventType, at_ms: int = NOW_MS, **more: Any) -> ItemSignal:
    return ItemSignal(
        item_id="i1",
        event_id="e",
        user_id="u",
        event_type=kind,
        timestamp_ms=at_ms,
        log_time_ms=at_ms,
        **more,
    )


def record_of(*signals: ItemSignal) -> ItemEngagement:
    seen, latest_ms = Engagement(), 0
    for one in signals:
        latest_ms = max(latest_ms, one.timestamp_ms)
        engage(seen, one, latest_ms=latest_ms)
    return engagement_record(
        seen, item_id="i1", version=len(signals), latest_ms=latest_ms, log_time_ms=NOW_MS
    )


def test_rates_and_means() -> None:
    told = record_of(
        *(signal("view", duration_ms=ms, completion_rate=part) for ms, part in ((1_000, 0.5),)),
        *(signal("view") for _ in range(3)),
        signal("click", duration_ms=3_000, completion_rate=1.0),
        signal("click"),
        signal("purchase"),
        signal("add_to_cart"),
        signal("dismiss"),
        signal("search"),
    )
    assert (told.views, told.clicks, told.conversions) == (4, 2, 1)
    assert (told.carts, told.dismissals) == (1, 1)
    assert (told.ctr, told.cvr) == (0.5, 0.5)
    assert (told.avg_dwell_ms, told.avg_completion_rate) == (2_000.0, 0.75)


def test_a_window_left_open_for_a_year_counts_as_a_day() -> None:
    assert record_of(signal("view", duration_ms=2**62)).avg_dwell_ms == LONGEST_DWELL_MS


@given(st.lists(st.tuples(kinds, times), min_size=1, max_size=40))
def test_windows_equal_a_recount_in_any_order(events: list[tuple[EventType, int]]) -> None:
    told = record_of(*(signal(kind, at_ms) for kind, at_ms in events))
    latest_ms = max(at_ms for _, at_ms in events)

    def recount(kind: str, name: str) -> int:
        span = SPANS[name]
        first_ms = (latest_ms // span.bucket_ms - span.buckets + 1) * span.bucket_ms
        return sum(one == kind and at_ms >= first_ms for one, at_ms in events)

    assert (told.views_1h, told.views_24h) == (recount("view", "1h"), recount("view", "24h"))
    assert (told.clicks_1h, told.clicks_24h) == (recount("click", "1h"), recount("click", "24h"))
    assert (told.conversions_1h, told.conversions_24h) == (
        recount("purchase", "1h"),
        recount("purchase", "24h"),
    )


def test_a_late_event_counts_in_the_oldest_bucket_and_not_before_it() -> None:
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    edge = signal("view", hour_ms - 23 * HOUR_MS)
    assert record_of(signal("click"), edge).views_24h == 1
    before = signal("view", hour_ms - 23 * HOUR_MS - 1)
    assert record_of(signal("click"), before).views_24h == 0


@given(st.lists(st.tuples(kinds, times, st.sampled_from(["DE", "FR", None])), min_size=1))
def test_each_segment_trends_by_its_own_events(
    events: list[tuple[EventType, int, str | None]],
) -> None:
    told = record_of(*(signal(kind, at_ms, country=country) for kind, at_ms, country in events))
    trends = dict(zip(told.trends, told.trending, strict=True))
    for country in ("DE", "FR", None):
        segment = "all" if country is None else f"country:{country}"
        mine = [one for one in events if country in (None, one[2])]
        for name, half_life_ms in TRENDING_HALF_LIVES_MS.items():
            expected = sum(
                popularity_weight(kind) * 0.5 ** ((NOW_MS - at_ms) / half_life_ms)
                for kind, at_ms, _ in mine
            )
            found = popularity_at(
                trends.get(f"{segment}:{name}", 0.0), at_ms=NOW_MS, half_life_ms=half_life_ms
            )
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_only_the_heaviest_segments_are_kept_and_newcomers_get_in() -> None:
    events = [
        signal("purchase", NOW_MS - MINUTE_MS * n, country=f"C{n}", device_type="mobile")
        for n in range(9, -1, -1)
        for _ in range(10 - n)
    ]
    trends = record_of(*events, signal("view", country="new")).trends
    countries = [
        name.split(":")[1] for name in trends if name.endswith(":1h") and "country" in name
    ]
    assert len(countries) == MOST_SEGMENTS
    assert set(countries) == {"C0", "C1", "C2", "new"}
    assert {"all:1h", "device:mobile:7d"} < set(trends)
