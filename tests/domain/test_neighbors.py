import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.neighbors import (
    DAY_MS,
    HALF_LIVES_MS,
    HOUR_MS,
    MINUTE_MS,
    NEVER_MS,
    SLACK,
    UNSEEN,
    Neighbors,
    meet,
    ranked,
    with_half_lives,
)

NOW_MS = 1_700_000_000_000

Met = list[tuple[str, float, int]]
meetings = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.floats(0.125, 1.0, width=32),
        st.integers(NOW_MS - 40 * DAY_MS, NOW_MS),
    ),
    min_size=1,
    max_size=30,
)


def company(met: Met, half_lives_ms: tuple[int, ...] = HALF_LIVES_MS) -> Neighbors:
    neighbors = Neighbors(half_lives_ms=half_lives_ms)
    for other, weight, at_ms in met:
        meet(neighbors, [other], [weight], timestamp_ms=at_ms)
    return neighbors


def shares(met: Met, half_life_ms: int) -> dict[str, float]:
    """What scores are at one half-life, from all pairs at once."""
    latest_ms = max(at_ms for _, _, at_ms in met)
    weights: dict[str, float] = defaultdict(float)
    for other, weight, at_ms in met:
        weights[other] += weight * 0.5 ** ((latest_ms - at_ms) / half_life_ms)
    total = sum(weights.values()) + UNSEEN
    return {other: weight / total for other, weight in weights.items()}


@given(meetings, st.sampled_from(HALF_LIVES_MS))
def test_scores_at_one_half_life_are_shares_of_the_faded_weights(
    met: Met, half_life_ms: int
) -> None:
    assert dict(ranked(company(met, (half_life_ms,)))) == pytest.approx(
        shares(met, half_life_ms), rel=1e-4, abs=1e-9
    )


@given(meetings)
def test_scores_mix_the_shares_by_the_belief_in_each_half_life(met: Met) -> None:
    neighbors = company(met)
    apart = [shares(met, half_life_ms) for half_life_ms in HALF_LIVES_MS]
    mixed = {
        other: sum(belief * one[other] for belief, one in zip(neighbors.shares, apart, strict=True))
        for other in apart[0]
    }
    assert dict(ranked(neighbors)) == pytest.approx(mixed, rel=1e-4, abs=1e-9)
    assert sum(neighbors.shares) == pytest.approx(1.0)


def drifting(*, every_ms: int, stays_ms: int, count: int = 400) -> Neighbors:
    """The company changes wholly each `stays_ms`."""
    chance, neighbors = random.Random(5), Neighbors()
    for number in range(count):
        at_ms = NOW_MS + number * every_ms
        era = at_ms // stays_ms % 3
        meet(neighbors, [f"{era}-{chance.randrange(4)}"], [1.0], timestamp_ms=at_ms)
    return neighbors


def test_half_lives_are_learned_from_how_fast_the_company_changes() -> None:
    quick = drifting(every_ms=MINUTE_MS, stays_ms=HOUR_MS)
    slow = drifting(every_ms=DAY_MS // 2, stays_ms=1_000 * DAY_MS)
    assert quick.shares[0] > 0.5
    assert sum(slow.shares[3:]) > 0.5


def test_the_one_in_favour_changes_when_the_company_does() -> None:
    neighbors = company([("old", 1.0, NOW_MS + number * 1_000) for number in range(100)])
    later_ms = NOW_MS + DAY_MS
    for number in range(10):
        meet(neighbors, ["new"], [1.0], timestamp_ms=later_ms + number * 1_000)
    assert ranked(neighbors)[0][0] == "new"
    assert ranked(
        company([("old", 1.0, NOW_MS)] * 100 + [("new", 1.0, later_ms)] * 10, (NEVER_MS,))
    )[0][0] == ("old")


def test_the_weakest_go_when_there_are_too_many_and_newcomers_get_a_chance() -> None:
    neighbors = Neighbors()
    for number in range(30):
        meet(neighbors, [f"good{number % 3}"], [1.0], timestamp_ms=NOW_MS + number)
    for number in range(500):
        meet(neighbors, [f"once{number}"], [1.0], timestamp_ms=NOW_MS + 1_000 + number, size=5)
        assert len(neighbors.places) <= 5 + SLACK
        assert f"once{number}" in neighbors.places or len(neighbors.places) == 5
    kept = [name for name, _ in ranked(neighbors, 5)]
    assert {"good0", "good1", "good2"} < set(kept)
    assert len(neighbors.weights) == len(neighbors.places) * len(HALF_LIVES_MS)


def test_pairs_at_once_count_like_pairs_one_by_one() -> None:
    together, apart = Neighbors(), Neighbors()
    meet(together, ["a", "b"], [1.0, 0.5], timestamp_ms=NOW_MS)
    meet(apart, ["a"], [1.0], timestamp_ms=NOW_MS)
    meet(apart, ["b"], [0.5], timestamp_ms=NOW_MS)
    assert ranked(together) == ranked(apart)


def test_a_late_pair_counts_as_what_it_is_worth_by_then() -> None:
    neighbors = company([("now", 1.0, NOW_MS), ("late", 1.0, NOW_MS - HOUR_MS)], (HOUR_MS,))
    scores = dict(ranked(neighbors))
    assert scores["late"] == pytest.approx(scores["now"] / 2)


@pytest.mark.parametrize("years", [1, 300])
def test_long_silence_is_survived(years: int) -> None:
    met = [("a", 1.0, 0), ("b", 1.0, years * 365 * DAY_MS), ("b", 1.0, years * 365 * DAY_MS + 1)]
    (best, score), (_, other) = ranked(company(met))
    assert best == "b"
    assert 0 < other < score < 1


@pytest.mark.parametrize("half_lives_ms", [(DAY_MS,), (5 * HOUR_MS, NEVER_MS)])
def test_another_choice_of_half_lives_goes_on_with_what_is_known(
    half_lives_ms: tuple[int, ...],
) -> None:
    met = [("a", 1.0, NOW_MS), ("a", 1.0, NOW_MS + HOUR_MS), ("b", 1.0, NOW_MS + 2 * HOUR_MS)]
    changed = with_half_lives(company(met), half_lives_ms)
    assert changed.half_lives_ms == half_lives_ms
    assert changed.version == 3
    assert [name for name, _ in ranked(changed)] == ["a", "b"]
    meet(changed, ["b"], [1.0], timestamp_ms=NOW_MS + 3 * DAY_MS)
    assert ranked(changed)[0][0] == "b"
