import numpy as np
import pytest
from numpy.typing import NDArray

from serving.metrics import Metrics
from serving.nearest import LIFETIME_S, NEAR_ENOUGH, NearestMemory
from tests.clock import Clock
from tests.serving.pretended import axis, count_of

ROWS = np.array([3, 1, 2])


def turned(cosine: float) -> NDArray[np.float32]:
    """A vector at this cosine from axis 0."""
    vector = cosine * axis(0) + np.sqrt(1 - cosine**2) * axis(1)
    return np.asarray(vector, np.float32)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def memory(clock: Clock, metrics: Metrics) -> NearestMemory:
    made = NearestMemory(metrics=metrics, clock=clock)
    made.keep("u1", axis(0), ROWS)
    return made


@pytest.mark.parametrize(
    ("cosine", "outcome"),
    [(1.0, "hit"), (NEAR_ENOUGH + 0.001, "hit"), (NEAR_ENOUGH - 0.001, "miss")],
)
def test_a_vector_that_hardly_moved_finds_what_was_found(
    memory: NearestMemory, metrics: Metrics, cosine: float, outcome: str
) -> None:
    rows = memory.find("u1", turned(cosine))
    assert rows is (ROWS if outcome == "hit" else None)
    assert count_of(metrics, "freshet_cache_total", cache="nearest", outcome=outcome) == 1


def test_small_steps_are_measured_from_where_was_searched(memory: NearestMemory) -> None:
    assert memory.find("u1", turned(0.992)) is ROWS
    assert memory.find("u1", turned(0.985)) is None


def test_it_is_another_for_whoever_asks_for_another(memory: NearestMemory) -> None:
    assert memory.find("u2", axis(0)) is None


def test_it_ends_with_its_lifetime(memory: NearestMemory, clock: Clock) -> None:
    clock.now = LIFETIME_S - 0.1
    assert memory.find("u1", axis(0)) is ROWS
    clock.now = LIFETIME_S
    assert memory.find("u1", axis(0)) is None


def test_a_later_search_takes_the_place_of_an_earlier(memory: NearestMemory) -> None:
    memory.keep("u1", axis(1), np.array([9]))
    assert memory.find("u1", axis(0)) is None
    found = memory.find("u1", axis(1))
    assert found is not None
    assert found.tolist() == [9]
