from collections import defaultdict
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.affinity import (
    GOOD_MS,
    MOST_CATEGORIES,
    NOW_MS,
    PRICES,
    Affinities,
    AffinitiesError,
    category_of,
    weight_of,
)
from domain.windows import OTHER_CATEGORY
from schemas.types import Direction, EventType, SignalPayload, UserEvent

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def event(kind: EventType = "view", **more: object) -> UserEvent:
    return UserEvent(event_id="e", user_id="u", event_type=kind, timestamp_ms=0, **more)  # type: ignore[arg-type]


def none_in_use() -> set[int]:
    return set()


def add(likes: Affinities, category: str, weight: float, at_ms: int = START_MS) -> None:
    likes.add(likes.number_of(category, in_use=none_in_use), weight, timestamp_ms=at_ms)


@pytest.mark.parametrize(
    ("of", "catalogue", "expected"),
    [
        (event(signal=SignalPayload(category="s"), context={"category": "c"}), "i", "s"),
        (event(context={"category": "c"}), "i", "c"),
        (event(), "i", "i"),
        (event(), None, None),
        (event(context={"category": ""}), "", None),
        (event(), "ü" * 40, "ü" * 32),
    ],
)
def test_a_category_is_the_events_own_or_that_of_the_catalogue(
    of: UserEvent, catalogue: str | None, expected: str | None
) -> None:
    assert category_of(of, catalogue=catalogue) == expected


@pytest.mark.parametrize(
    ("direction", "strength", "expected"),
    [
        ("positive", 0.5, 0.5),
        ("negative", 0.5, -0.5),
        ("negative", None, -1.0),
        ("positive", 7.0, 1.0),
        (None, 0.5, 0.0),
    ],
)
def test_a_preference_counts_as_strong_as_it_is_told(
    direction: Direction | None, strength: float | None, expected: float
) -> None:
    told = SignalPayload(category="c", direction=direction, strength=strength)
    assert weight_of(event("preference_update", signal=told)) == expected


def test_an_event_counts_its_actions_weight() -> None:
    assert [weight_of(event(kind)) for kind in ("click", "dismiss", "search")] == [0.3, -0.2, 0.0]


def test_the_last_day_decides_for_now_and_the_month_for_good() -> None:
    likes = Affinities()
    for day in range(20):
        add(likes, "garden", 1.0, START_MS + day * DAY_MS)
    add(likes, "party", 1.0, START_MS + 23 * DAY_MS)
    add(likes, "party", 0.5, START_MS + 23 * DAY_MS)
    assert list(likes.for_now()) == ["party", "garden"]
    assert likes.preferred() == ["garden", "party"]
    assert sum(likes.for_now().values()) == pytest.approx(1.0)


def test_what_is_dismissed_is_disliked_until_more_speaks_for_it() -> None:
    likes = Affinities()
    add(likes, "mugs", -0.2)
    add(likes, "pens", -0.4)
    assert (likes.disliked(), likes.preferred(), likes.for_now()) == (["pens", "mugs"], [], {})
    add(likes, "mugs", 0.3)
    assert (likes.disliked(), likes.preferred()) == (["pens"], ["mugs"])


def test_at_most_ten_are_preferred() -> None:
    likes = Affinities()
    for n in range(12):
        add(likes, f"c{n}", 0.1 * (n + 1))
    assert likes.preferred() == [f"c{n}" for n in range(11, 1, -1)]


evidence = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([0.1, 0.3, 1.0, -0.2]),
        st.integers(0, 90 * DAY_MS),
    ),
    max_size=50,
)


@given(evidence)
def test_sums_are_those_of_the_definition_in_any_order(
    history: list[tuple[str, float, int]],
) -> None:
    """Stored and read after each; the shares of the day only where the last day says something."""
    stored, latest_ms = b"", max((at_ms for _, _, at_ms in history), default=0)
    for name, weight, at_ms in history:
        likes = Affinities.from_bytes(stored)
        add(likes, name, weight, START_MS + at_ms)
        stored = likes.to_bytes()
    likes = Affinities.from_bytes(stored)
    good, now = defaultdict[str, float](float), defaultdict[str, float](float)
    for name, weight, at_ms in history:
        good[name] += weight * exp((at_ms - latest_ms) / GOOD_MS)
        now[name] += weight * exp((at_ms - latest_ms) / NOW_MS)
    clear = {name for name, value in good.items() if abs(value) > 1e-3}
    assert {n for n in likes.preferred() if n in clear} == {n for n in clear if good[n] > 0}
    assert {n for n in likes.disliked() if n in clear} == {n for n in clear if good[n] < 0}
    positive = sum(value for value in now.values() if value > 0)
    if positive > 1e-2:
        shares = likes.for_now()
        for name, value in now.items():
            assert shares.get(name, 0.0) == pytest.approx(max(0.0, value) / positive, abs=2e-4)


def test_a_full_list_gives_the_place_of_the_least_decided_that_is_not_counted() -> None:
    likes = Affinities()
    for n in range(MOST_CATEGORIES):
        add(likes, f"c{n}", 0.1 + 0.01 * n)
    assert likes.number_of("new", in_use=lambda: set(range(MOST_CATEGORIES))) == OTHER_CATEGORY
    assert "new" not in likes.names
    likes.add(OTHER_CATEGORY, 1.0, timestamp_ms=START_MS)
    assert likes.number_of("new", in_use=lambda: {0, 1}) == 2
    assert "c2" not in likes.names
    assert "new" not in likes.preferred()
    assert likes.number_of("c5", in_use=none_in_use) == 5


def test_who_buys_cheaper_than_they_look_is_sensitive_to_prices() -> None:
    likes = Affinities()
    assert likes.price_sensitivity() is None
    likes.price(40.0, bought=False)
    likes.price(10.0, bought=False)
    assert likes.price_sensitivity() is None
    likes.price(20.0, bought=True)
    assert likes.price_sensitivity() == pytest.approx(0.5)
    likes.price(0.0, bought=True)
    assert likes.price_sensitivity() == pytest.approx(0.5)
    likes.price(5.0, bought=True)
    assert likes.price_sensitivity() == pytest.approx(20 / (20 + 10))


def test_prices_follow_what_was_looked_at_last() -> None:
    likes = Affinities()
    for _ in range(1_000):
        likes.price(100.0, bought=False)
    for _ in range(4 * PRICES):
        likes.price(1.0, bought=False)
    likes.price(1.0, bought=True)
    seen = likes.price_sensitivity()
    assert seen is not None
    assert 0.5 < seen < 1 / (1 + exp(-log(100) * 0.03))


def test_reading_gives_back_what_was_written() -> None:
    likes = Affinities()
    add(likes, "für Gäste", 0.3)
    likes.price(4.0, bought=True)
    stored = likes.to_bytes()
    read = Affinities.from_bytes(stored)
    assert read.to_bytes() == stored
    assert read.names == ["für Gäste"]
    assert len(stored) < 60


def test_another_format_is_named() -> None:
    with pytest.raises(AffinitiesError, match="affinities of format 9; this version reads 1"):
        Affinities.from_bytes(b"\x09")


@pytest.mark.parametrize("size", [1, 20, 30, 40, -1])
def test_cut_bytes_are_named(size: int) -> None:
    likes = Affinities()
    add(likes, "garden", 0.3)
    stored = likes.to_bytes()[:size]
    with pytest.raises(AffinitiesError, match=f"{len(stored)} bytes of affinities are damaged"):
        Affinities.from_bytes(stored)
