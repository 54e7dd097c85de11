from itertools import permutations
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.popularity import NOTHING, add_weight, popularity_at, popularity_weight

HALF_LIFE_MS = 3_600_000
NOW_MS = 1_700_000_000_000

arrivals = st.lists(
    st.tuples(st.floats(0.01, 5.0), st.integers(NOW_MS - 20 * HALF_LIFE_MS, NOW_MS)),
    min_size=1,
    max_size=30,
)


def trending_of(events: list[tuple[float, int]]) -> float:
    trending = NOTHING
    for weight, at_ms in events:
        trending = add_weight(
            trending, weight=weight, timestamp_ms=at_ms, half_life_ms=HALF_LIFE_MS
        )
    return trending


@given(arrivals, st.integers(0, 20 * HALF_LIFE_MS))
def test_popularity_is_the_decayed_sum(events: list[tuple[float, int]], later_ms: int) -> None:
    at_ms = NOW_MS + later_ms
    expected = sum(weight * 0.5 ** ((at_ms - t) / HALF_LIFE_MS) for weight, t in events)
    found = popularity_at(trending_of(events), at_ms=at_ms, half_life_ms=HALF_LIFE_MS)
    assert found == pytest.approx(expected, rel=1e-6)


@given(arrivals, arrivals, st.integers(0, 20 * HALF_LIFE_MS))
def test_trending_compares_items_at_any_time(
    one: list[tuple[float, int]], other: list[tuple[float, int]], later_ms: int
) -> None:
    at_ms = NOW_MS + later_ms
    first, second = trending_of(one), trending_of(other)
    now = [popularity_at(t, at_ms=at_ms, half_life_ms=HALF_LIFE_MS) for t in (first, second)]
    assert (first > second) == (now[0] > now[1])


def test_the_order_of_arrival_doesnt_matter() -> None:
    events = [(1.0, NOW_MS), (0.3, NOW_MS - 10 * HALF_LIFE_MS), (0.1, NOW_MS - 5)]
    found = [trending_of(list(order)) for order in permutations(events)]
    assert found == pytest.approx([found[0]] * 6, rel=1e-12)


def test_nothing_is_nothing_and_centuries_do_not_overflow() -> None:
    assert popularity_at(NOTHING, at_ms=NOW_MS, half_life_ms=HALF_LIFE_MS) == 0.0
    far = add_weight(NOTHING, weight=1.0, timestamp_ms=10**14, half_life_ms=1_000)
    assert isfinite(far)
    assert isfinite(popularity_at(far, at_ms=0, half_life_ms=1_000))


@pytest.mark.parametrize("event_type", ["dismiss", "skip", "search", "unknown"])
def test_what_speaks_against_an_item_adds_nothing(event_type: str) -> None:
    weight = popularity_weight(event_type)
    assert weight == 0.0
    before = trending_of([(1.0, NOW_MS)])
    after = add_weight(before, weight=weight, timestamp_ms=NOW_MS, half_life_ms=HALF_LIFE_MS)
    assert after == before
