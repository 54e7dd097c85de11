from math import exp, inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.embedding import (
    DECAY_MS,
    MOMENTUM_LIFE_MS,
    VISIT_DECAY_MS,
    Compact,
    FadingSum,
    HalfVector,
    Momentum,
    UserEmbedding,
    Vector,
    compact,
    fold,
    learn,
    packed,
    unpacked,
)
from domain.events import ACTION_WEIGHTS
from schemas.collections import USER_DIM

HOUR_MS = 3_600_000


def axis(place: int, sign: float = 1.0) -> Vector:
    vector = np.zeros(USER_DIM, dtype=np.float32)
    vector[place] = sign
    return vector


def random_unit(seed: int) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(USER_DIM).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def step(user: UserEmbedding, action: str, item: Vector, at_ms: int = 0, age_ms: int = 0) -> bool:
    moved = learn(
        user, action=action, item_vector=item, timestamp_ms=at_ms - age_ms, latest_ms=at_ms
    )
    return moved is not None


def half(vector: Vector) -> HalfVector:
    return vector.astype(np.float16)


def of(user: UserEmbedding) -> Vector:
    """The vector that the user has, which must be there."""
    assert user.vector is not None
    return user.vector.astype(np.float32)


def sum_of(fading: FadingSum) -> Vector:
    """The sum that there is, which must be."""
    assert fading.vector is not None
    return fading.vector.times(1.0)


class NaiveEmbedding:
    """Algorithm 1 of the specification, line by line, in float64."""

    def __init__(self) -> None:
        self.vector = np.zeros(USER_DIM)
        self.momentum: NDArray[np.float64] | None = None
        self.momentum_at_ms = 0

    def learn(self, action: str, item: Vector, at_ms: int, age_ms: int) -> None:
        weight = ACTION_WEIGHTS[action] * exp(-age_ms / HOUR_MS / 24)
        update = 0.1 * weight * (item.astype(np.float64) - self.vector)
        if self.momentum is not None and at_ms - self.momentum_at_ms <= HOUR_MS:
            update = 0.9 * self.momentum + 0.1 * update
        self.momentum, self.momentum_at_ms = update, at_ms
        self.vector = self.vector + update
        self.vector /= np.linalg.norm(self.vector)


def test_the_first_event_takes_the_items_direction() -> None:
    user = UserEmbedding()
    assert step(user, "view", axis(3))
    assert of(user) == pytest.approx(axis(3))
    assert (user.version, user.momentum and user.momentum.at_ms) == (1, 0)


def test_a_purchase_moves_by_a_tenth_of_the_way() -> None:
    user = UserEmbedding(vector=half(axis(0)), version=1)
    step(user, "purchase", axis(1))
    expected = np.array([0.9, 0.1]) / np.hypot(0.9, 0.1)
    assert of(user)[:2] == pytest.approx(expected, abs=3e-4)


def test_a_dismissal_moves_away() -> None:
    user = UserEmbedding(vector=half(axis(0)), version=1)
    step(user, "dismiss", axis(1))
    assert of(user)[1] < 0


def test_momentum_carries_on_for_an_hour() -> None:
    def second_step(gap_ms: int) -> float:
        user = UserEmbedding(vector=half(axis(0)), version=1)
        step(user, "purchase", axis(1))
        before = float(of(user)[1])
        step(user, "view", axis(2), at_ms=gap_ms)
        return float(of(user)[1]) - before

    assert second_step(MOMENTUM_LIFE_MS) > 0.05
    assert second_step(MOMENTUM_LIFE_MS + 1) <= 0


def test_an_old_event_counts_less() -> None:
    def reach(age_ms: int) -> float:
        user = UserEmbedding(vector=half(axis(0)), version=1)
        step(user, "purchase", axis(1), at_ms=100 * HOUR_MS, age_ms=age_ms)
        return float(of(user)[1] / of(user)[0])

    rate = 0.1 * exp(-1.0)
    assert reach(24 * HOUR_MS) == pytest.approx(rate / (1 - rate), rel=1e-3)


@pytest.mark.parametrize("action", ["search", "scroll", "context_change"])
def test_an_action_without_weight_changes_nothing(action: str) -> None:
    user = UserEmbedding(vector=half(axis(0)), version=1)
    assert not step(user, action, axis(1))
    assert (user.version, user.momentum) == (1, None)


def test_a_first_dismissal_has_nowhere_to_move_from() -> None:
    user = UserEmbedding()
    assert not step(user, "dismiss", axis(1))
    assert user.version == 0
    assert user.vector is None


def test_a_step_that_cancels_the_vector_is_left_out() -> None:
    user = UserEmbedding(vector=half(axis(0)), version=1)
    # 0.9 of the momentum takes the whole vector away, and the item is where the user is.
    steps = np.zeros(USER_DIM, np.int16)
    steps[0] = -2_000
    user.momentum = Momentum(step=Compact(steps, 0.0005 / 0.9), at_ms=0)
    assert not step(user, "purchase", axis(0))
    assert user.version == 1


@pytest.mark.parametrize("bad", [nan, inf])
def test_an_item_vector_that_is_not_finite_changes_nothing(bad: float) -> None:
    user = UserEmbedding(vector=half(axis(0)), version=1)
    item = axis(1)
    item[5] = bad
    assert not step(user, "purchase", item)
    assert of(user) == pytest.approx(axis(0))


def test_an_antipodal_item_pulls_without_flipping() -> None:
    user = UserEmbedding(vector=half(axis(0)), version=1)
    assert step(user, "purchase", axis(0, -1.0))
    assert of(user) == pytest.approx(axis(0))


events = st.lists(
    st.tuples(
        st.sampled_from(sorted(ACTION_WEIGHTS)),
        st.integers(0, 30),
        st.integers(0, 2 * HOUR_MS),
        st.integers(0, 48 * HOUR_MS),
    ),
    min_size=1,
    max_size=40,
)


@given(events)
def test_the_vector_follows_the_specification(
    history: list[tuple[str, int, int, int]],
) -> None:
    user, naive, at_ms = UserEmbedding(), NaiveEmbedding(), 0
    step(user, "view", random_unit(0))
    naive.learn("view", random_unit(0), 0, 0)
    for action, item, gap_ms, age_ms in history:
        at_ms += gap_ms
        step(user, action, random_unit(item), at_ms, age_ms)
        naive.learn(action, random_unit(item), at_ms, age_ms)
    assert np.linalg.norm(of(user)) == pytest.approx(1.0, abs=1e-3)
    assert float(of(user) @ naive.vector) > 0.9999
    assert user.version == 1 + len(history)


def test_the_same_events_give_the_same_bytes() -> None:
    def run() -> bytes:
        user = UserEmbedding()
        for n in range(50):
            step(user, "click", random_unit(n % 7), at_ms=n * 60_000)
        return of(user).tobytes()

    assert run() == run()


def test_what_is_told_is_of_unit_length_and_what_is_kept_nearly() -> None:
    user = UserEmbedding()
    for n in range(20):
        moved = learn(user, action="click", item_vector=random_unit(n), timestamp_ms=n, latest_ms=n)
        assert moved is not None
        assert float(np.linalg.norm(moved)) == pytest.approx(1.0, abs=1e-6)
        assert of(user) == pytest.approx(moved, abs=1e-4)


class FullPrecision:
    """The vectors of a user with nothing rounded, ever: what is kept must answer as these do."""

    def __init__(self) -> None:
        self.forever = NaiveEmbedding()
        self.day = np.zeros(USER_DIM)
        self.visit = np.zeros(USER_DIM // 2)
        self.at_ms = 0

    def learn(self, action: str, item: Vector, at_ms: int) -> None:
        self.forever.learn(action, item, at_ms, 0)
        passed_ms, self.at_ms = at_ms - self.at_ms, at_ms
        self.day = self.day * exp(-passed_ms / DECAY_MS) + ACTION_WEIGHTS[action] * item
        faded = self.visit * exp(-passed_ms / VISIT_DECAY_MS)
        self.visit = faded + ACTION_WEIGHTS[action] * fold(item)


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return scaled


@pytest.mark.parametrize("seed", range(8))
def test_rounding_leaves_cosines_and_the_ten_nearest_of_a_thousand_items(seed: int) -> None:
    """A thousand events of a user whose taste drifts among the kinds of a thousand items."""
    rng = np.random.default_rng(seed)
    kinds = rng.standard_normal((20, USER_DIM))
    of_kind = rng.integers(0, 20, 1_000)
    items = kinds[of_kind] + 1.2 * rng.standard_normal((1_000, USER_DIM))
    items = (items / np.linalg.norm(items, axis=1, keepdims=True)).astype(np.float32)
    user, visit, exact = UserEmbedding(), FadingSum(decay_ms=VISIT_DECAY_MS), FullPrecision()
    at_ms = 0
    for n in range(1_000):
        at_ms += int(rng.exponential(120_000))
        liked = (n // 100 + rng.integers(0, 3)) % 20
        item = items[rng.choice(np.flatnonzero(of_kind == liked))]
        action = str(rng.choice(["view", "view", "click", "add_to_cart", "purchase"]))
        step(user, action, item, at_ms)
        visit.add(fold(item), ACTION_WEIGHTS[action], timestamp_ms=at_ms)
        exact.learn(action, item, at_ms)
    folded = np.array([fold(item) for item in items], np.float64)
    folded /= np.linalg.norm(folded, axis=1, keepdims=True)
    for kept, true, catalogue in (
        (of(user), exact.forever.vector, items),
        (sum_of(user.day), exact.day, items),
        (sum_of(visit), exact.visit, folded),
    ):
        told = catalogue @ unit(kept.astype(np.float64))
        meant = catalogue @ unit(true)
        assert told == pytest.approx(meant, abs=2e-3)
        # The same ten, in the same order but for items that are as good as equally near.
        assert meant[np.argsort(-told)[:10]] == pytest.approx(np.sort(meant)[:-11:-1], abs=2e-3)


@given(st.permutations(range(8)))
def test_the_sum_of_a_day_does_not_depend_on_the_order_of_events(order: list[int]) -> None:
    def total(numbers: list[int]) -> NDArray[np.float64]:
        fading = FadingSum(decay_ms=DECAY_MS)
        for n in numbers:
            fading.add(random_unit(n), 0.3, timestamp_ms=n * 9 * HOUR_MS)
        return unit(sum_of(fading).astype(np.float64))

    assert float(total(order) @ total(list(range(8)))) > 0.9999


def test_the_last_day_outweighs_what_was_before() -> None:
    fading = FadingSum(decay_ms=DECAY_MS)
    for _ in range(20):
        fading.add(axis(0), 1.0, timestamp_ms=0)
    fading.add(axis(1), 0.3, timestamp_ms=6 * DECAY_MS)
    total = sum_of(fading)
    assert total[1] / total[0] == pytest.approx(0.3 / (20 * exp(-6)), rel=0.05)


def test_a_sum_of_ever_so_many_events_stays_within_half_precision() -> None:
    fading = FadingSum(decay_ms=VISIT_DECAY_MS)
    for n in range(3_000):
        fading.add(axis(n % 2) * 1e9, 1.0, timestamp_ms=n // 100)
    fading.add(axis(2), 1.0, timestamp_ms=400 * 24 * HOUR_MS)
    assert np.isfinite(sum_of(fading)).all()
    assert sum_of(fading)[2] == pytest.approx(1.0)


def test_a_sum_of_a_steady_stream_is_the_definition() -> None:
    fading, true = FadingSum(decay_ms=VISIT_DECAY_MS), np.zeros(USER_DIM)
    for n in range(5_000):
        fading.add(axis(n % 7), 1.0, timestamp_ms=n * 1_000)
        true = true * exp(-1_000 / VISIT_DECAY_MS) + axis(n % 7)
    assert unit(sum_of(fading).astype(np.float64)) == pytest.approx(unit(true), abs=3e-3)


def test_folding_keeps_lengths_and_angles_on_average() -> None:
    rng = np.random.default_rng(1)
    pairs = rng.standard_normal((400, 2, USER_DIM)).astype(np.float32)
    pairs[:, 1] += pairs[:, 0]
    kept = [_cosine(fold(one), fold(other)) for one, other in pairs]
    true = [_cosine(one, other) for one, other in pairs]
    assert np.corrcoef(kept, true)[0, 1] > 0.4
    assert float(np.mean(kept)) == pytest.approx(float(np.mean(true)), abs=0.01)


def _cosine(one: Vector, other: Vector) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@given(st.lists(st.integers(-2_047, 2_047), min_size=2, max_size=2))
def test_packed_steps_are_read_as_they_were(pair: list[int]) -> None:
    steps = np.array(pair * 3, np.int16)
    assert unpacked(packed(steps)).tolist() == pair * 3
    assert len(packed(steps)) == 9


@given(st.integers(0, 1_000), st.sampled_from([0.0, 1e-38, 1e-20, 1e-3, 1.0, 1e20]))
def test_a_compact_vector_is_within_half_of_its_scale(seed: int, size: float) -> None:
    given_step = random_unit(seed) * np.float32(size)
    kept = compact(given_step)
    within = max(kept.scale, 1e-30) * 0.51 + 3e-27
    assert np.abs(kept.times(1.0) - given_step).max() <= within


def test_every_tenth_event_that_teaches_asks_for_a_new_computation() -> None:
    user, due = UserEmbedding(), []
    for n in range(30):
        step(user, "view", random_unit(n))
        step(user, "search", random_unit(n))
        due.append(user.recompute_due)
    assert [n for n, asked in enumerate(due, start=1) if asked] == [10, 20, 30]
    assert not UserEmbedding().recompute_due
