from math import exp, inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.embedding import MOMENTUM_LIFE_MS, UserEmbedding, Vector, learn
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
    return learn(
        user, action=action, item_vector=item, timestamp_ms=at_ms - age_ms, latest_ms=at_ms
    )


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
    assert user.vector == pytest.approx(axis(3))
    assert (user.version, user.momentum_at_ms) == (1, 0)


def test_a_purchase_moves_by_a_tenth_of_the_way() -> None:
    user = UserEmbedding(vector=axis(0), version=1)
    step(user, "purchase", axis(1))
    expected = np.array([0.9, 0.1]) / np.hypot(0.9, 0.1)
    assert user.vector[:2] == pytest.approx(expected, abs=1e-6)


def test_a_dismissal_moves_away() -> None:
    user = UserEmbedding(vector=axis(0), version=1)
    step(user, "dismiss", axis(1))
    assert user.vector[1] < 0


def test_momentum_carries_on_for_an_hour() -> None:
    def second_step(gap_ms: int) -> float:
        user = UserEmbedding(vector=axis(0), version=1)
        step(user, "purchase", axis(1))
        before = float(user.vector[1])
        step(user, "view", axis(2), at_ms=gap_ms)
        return float(user.vector[1]) - before

    assert second_step(MOMENTUM_LIFE_MS) > 0.05
    assert second_step(MOMENTUM_LIFE_MS + 1) < 0


def test_an_old_event_counts_less() -> None:
    def reach(age_ms: int) -> float:
        user = UserEmbedding(vector=axis(0), version=1)
        step(user, "purchase", axis(1), at_ms=100 * HOUR_MS, age_ms=age_ms)
        return float(user.vector[1] / user.vector[0])

    rate = 0.1 * exp(-1.0)
    assert reach(24 * HOUR_MS) == pytest.approx(rate / (1 - rate), rel=1e-4)


@pytest.mark.parametrize("action", ["search", "scroll", "context_change"])
def test_an_action_without_weight_changes_nothing(action: str) -> None:
    user = UserEmbedding(vector=axis(0), version=1)
    assert not step(user, action, axis(1))
    assert (user.version, user.momentum) == (1, None)


def test_a_first_dismissal_has_nowhere_to_move_from() -> None:
    user = UserEmbedding()
    assert not step(user, "dismiss", axis(1))
    assert user.version == 0
    assert not user.vector.any()


def test_a_step_that_cancels_the_vector_is_left_out() -> None:
    user = UserEmbedding(vector=axis(0), version=1)
    user.momentum = axis(0, -1 / 0.9).astype(np.float16)
    # 0.9 of the momentum takes the whole vector away; 0.1 of the step is what is left.
    user.vector = (-0.9 * user.momentum.astype(np.float32)).astype(np.float32)
    assert not step(user, "purchase", user.vector.copy())
    assert user.version == 1


@pytest.mark.parametrize("bad", [nan, inf])
def test_an_item_vector_that_is_not_finite_changes_nothing(bad: float) -> None:
    user = UserEmbedding(vector=axis(0), version=1)
    item = axis(1)
    item[5] = bad
    assert not step(user, "purchase", item)
    assert user.vector == pytest.approx(axis(0))


def test_an_antipodal_item_pulls_without_flipping() -> None:
    user = UserEmbedding(vector=axis(0), version=1)
    assert step(user, "purchase", axis(0, -1.0))
    assert user.vector == pytest.approx(axis(0))


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
    assert np.linalg.norm(user.vector) == pytest.approx(1.0, abs=1e-5)
    assert float(user.vector @ naive.vector) > 0.9999
    assert user.version == 1 + len(history)


def test_the_same_events_give_the_same_bytes() -> None:
    def run() -> bytes:
        user = UserEmbedding()
        for n in range(50):
            step(user, "click", random_unit(n % 7), at_ms=n * 60_000)
        return user.vector.tobytes()

    assert run() == run()
