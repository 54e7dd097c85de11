"""Users in unequal numbers are told from chance, with any number of looks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.sample_ratio import RATIO_LEVEL, chi_square_tail, sample_ratio

# Upper tails as the tables of the distribution have them: value, degrees, probability.
TABLE = [
    (3.841459, 1, 0.05),
    (10.827566, 1, 0.001),
    (5.991465, 2, 0.05),
    (7.814728, 3, 0.05),
    (9.487729, 4, 0.05),
    (16.918978, 9, 0.05),
    (29.588298, 10, 0.001),
]


@pytest.mark.parametrize(("value", "degrees", "tail"), TABLE)
def test_the_tail_is_that_of_the_tables(value: float, degrees: int, tail: float) -> None:
    assert chi_square_tail(value, degrees) == pytest.approx(tail, rel=1e-5)


@pytest.mark.parametrize("degrees", [1, 2, 7, 8])
def test_the_tail_goes_from_one_to_nothing(degrees: int) -> None:
    assert chi_square_tail(0.0, degrees) == 1.0
    assert chi_square_tail(1e9, degrees) == 0.0


def test_counts_as_meant_have_no_chi_square() -> None:
    found = sample_ratio([200, 300, 500], [0.2, 0.3, 0.5])
    assert found.chi_square == pytest.approx(0.0)
    assert (found.p_value, found.p_value_always) == pytest.approx((1.0, 1.0))


def test_nobody_is_no_mismatch() -> None:
    found = sample_ratio([0, 0], [0.5, 0.5])
    assert (found.chi_square, found.p_value, found.mismatched) == (0.0, 1.0, False)


def test_weights_are_shares_of_their_sum() -> None:
    assert sample_ratio([10, 20], [1, 2]) == sample_ratio([10, 20], [1 / 3, 2 / 3])


def looks(shares: list[float], *, users: int, seed: int, every: int) -> NDArray[np.int64]:
    """The counts of arms at every look."""
    came = np.random.default_rng(seed).choice(len(shares), users, p=shares)
    return np.stack([np.cumsum(came == arm)[every - 1 :: every] for arm in range(len(shares))], 1)


def test_a_mismatch_of_one_in_fifty_is_found() -> None:
    *_, last = looks([0.51, 0.49], users=60_000, seed=1, every=60_000).tolist()
    found = sample_ratio(last, [0.5, 0.5])
    assert found.mismatched
    assert found.p_value < 1e-5


def test_a_lost_part_of_one_of_three_arms_is_found() -> None:
    *_, last = looks([0.21, 0.3, 0.49], users=40_000, seed=2, every=40_000).tolist()
    assert sample_ratio(last, [0.2, 0.3, 0.5]).mismatched


def test_a_fair_split_that_is_looked_at_all_the_time_is_hardly_ever_called_a_mismatch() -> None:
    """Chi-square is looked at beside it: at the same level it errs more often than it says."""
    always = once = 0
    for seed in range(400):
        found = [
            sample_ratio(one, [0.5, 0.5])
            for one in looks([0.5, 0.5], users=4_000, seed=seed, every=20).tolist()
        ]
        always += any(one.p_value_always < 0.01 for one in found)
        once += any(one.p_value < 0.01 for one in found)
    assert always <= 4
    assert once > 16


def test_the_level_is_what_mismatched_goes_by() -> None:
    near, past = (sample_ratio([5_000 + d, 5_000 - d], [0.5, 0.5]) for d in (205, 215))
    assert (near.p_value_always > RATIO_LEVEL, near.mismatched) == (True, False)
    assert (past.p_value_always < RATIO_LEVEL, past.mismatched) == (True, True)
