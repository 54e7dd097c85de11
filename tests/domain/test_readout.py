"""What a readout claims, held against experiments whose truth is known, looked at all the time."""

from collections.abc import Iterator
from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.readout import (
    DEFAULT_RULES,
    ArmCounts,
    Comparison,
    Interval,
    ReadoutRules,
    Sample,
    compare,
    read_out,
)

Floats = NDArray[np.float64]

LEVEL = 0.05
RUNS = 300
USERS = 1_500
MOST_ERRING = RUNS * LEVEL
# Sharp within the runs: where the test uses up most of its level.
SHARP = ReadoutRules(sharpest_at=1_000)


def sample(values: Floats, *, arm: str = "bold") -> Sample:
    return Sample(
        arm=arm,
        users=len(values),
        total=float(values.sum()),
        squares=float((values * values).sum()),
    )


def looks(values: Floats, bold: NDArray[np.bool_], *, every: int = 1) -> Iterator[list[Sample]]:
    """Both arms after every user, or after every few; the control first."""
    sides = {"control": ~bold, "bold": bold}
    sums = {
        name: np.stack([side, values * side, values**2 * side]).cumsum(1).T[every - 1 :: every]
        for name, side in sides.items()
    }
    for rows in zip(*(one.tolist() for one in sums.values()), strict=True):
        yield [
            Sample(arm=arm, users=int(users), total=total, squares=squares)
            for arm, (users, total, squares) in zip(sides, rows, strict=True)
        ]


def coins(rng: np.random.Generator, chance: Floats) -> Floats:
    return (rng.random(len(chance)) < chance).astype(np.float64)


def experiment(
    seed: int, *, control: float = 0.1, bold: float = 0.1, users: int = USERS, share: float = 0.5
) -> tuple[Floats, NDArray[np.bool_]]:
    """Users who convert with the chance of their arm, and who of them is in the arm `bold`."""
    rng = np.random.default_rng(seed)
    in_bold = rng.random(users) < share
    return coins(rng, np.where(in_bold, bold, control)), in_bold


def naively_decided(control: Sample, bold: Sample) -> bool:
    """What the test for a fixed number of users says."""
    noise = control.noise + bold.noise
    limit = NormalDist().inv_cdf(1 - LEVEL / 2)
    fewest = DEFAULT_RULES.fewest_users
    if min(control.users, bold.users) < fewest or noise <= 0:
        return False
    return abs(bold.mean - control.mean) > limit * sqrt(noise)


@pytest.mark.parametrize("share", [0.5, 0.2], ids=["even", "one in five"])
def test_with_no_effect_looking_all_the_time_errs_no_more_often_than_stated(share: float) -> None:
    always = naive = 0
    for seed in range(RUNS):
        pairs = list(looks(*experiment(seed, share=share)))
        found = (compare(*pair, rules=SHARP) for pair in pairs)
        always += any(one.verdict != "undecided" for one in found)
        naive += any(naively_decided(*pair) for pair in pairs)
    assert always <= MOST_ERRING
    assert naive > 4 * MOST_ERRING


def test_values_far_from_normal_err_no_more_often_either() -> None:
    erring = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        values, bold = rng.exponential(1.0, USERS) ** 2, rng.random(USERS) < 0.5
        found = (compare(*pair, rules=SHARP) for pair in looks(values, bold, every=3))
        erring += any(one.verdict != "undecided" for one in found)
    assert erring <= MOST_ERRING


def test_intervals_have_the_truth_in_them_at_all_looks_together() -> None:
    truth, missed_difference, missed_lift, told = 0.05, 0, 0, 0
    for seed in range(RUNS):
        pairs = looks(*experiment(seed, control=0.2, bold=0.25), every=50)
        found = [compare(*pair, rules=SHARP) for pair in pairs]
        differences = [one.difference for one in found if one.difference]
        lifts = [one.lift for one in found if one.lift]
        missed_difference += any(not one.low <= truth <= one.high for one in differences)
        missed_lift += any(not one.low <= 0.25 <= one.high for one in lifts)
        told += len(lifts)
    assert missed_difference <= MOST_ERRING
    assert missed_lift <= MOST_ERRING
    assert told > RUNS * 20


def test_a_planted_lift_is_found_and_stopping_there_keeps_the_truth_in_the_interval() -> None:
    found = covered = 0
    for seed in range(100):
        pairs = looks(*experiment(seed, control=0.1, bold=0.13, users=20_000), every=200)
        decided = (one for one in (compare(*pair) for pair in pairs) if one.verdict != "undecided")
        first = next(decided, None)
        found += first is not None and first.verdict == "better"
        covered += first is not None and within(first.lift, 0.3)
    assert found >= 95
    assert covered >= found - 5


def within(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


def test_worse_is_told_from_better() -> None:
    counts = [
        ArmCounts(arm="control", users=10_000, conversions=1_000),
        ArmCounts(arm="timid", users=10_000, conversions=800),
    ]
    (found,) = read_out(counts, [1, 1]).conversions
    assert (found.arm, found.control, found.verdict) == ("timid", "control", "worse")
    assert found.lift is not None
    assert found.lift.value == pytest.approx(-0.2)
    assert found.lift.high < 0


def test_p_value_and_intervals_say_the_same() -> None:
    """At the level that equals the p-value, an end of both intervals is 0."""
    control, bold = (
        Sample(arm=arm, users=5_000, total=total, squares=total)
        for arm, total in (("control", 500.0), ("bold", 590.0))
    )
    p_value = compare(control, bold).p_value
    assert 0.001 < p_value < 0.1
    found = compare(control, bold, level=p_value)
    assert found.difference is not None
    assert found.lift is not None
    assert (found.difference.low, found.lift.low) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_the_interval_is_that_of_the_formula() -> None:
    rules = ReadoutRules(sharpest_at=8_000)
    control, bold = (
        Sample(arm=arm, users=1_000, total=total, squares=total)
        for arm, total in (("control", 100.0), ("bold", 130.0))
    )
    variance = (0.1 * 0.9 + 0.13 * 0.87) / 999
    # 2 ln 20 = 5.9915, and ln(1 + 5.9915) = 1.9447, over 8,000 / 4.
    mixture = variance * 500 * (5.99146 + 1.94469) / 2_000
    both = variance + mixture
    aside = sqrt(variance * both / mixture * (5.99146 + np.log(both / variance)))
    found = compare(control, bold, rules=rules).difference
    assert found is not None
    assert (found.value, found.low) == pytest.approx((0.03, 0.03 - aside), rel=1e-4)


@pytest.mark.parametrize("sharpest_at", [2_000, 20_000, 200_000])
def test_no_other_spread_is_much_tighter_where_it_should_be_sharp(sharpest_at: int) -> None:
    half = Sample(arm="x", users=sharpest_at // 2, total=sharpest_at / 8, squares=sharpest_at / 8)
    widths = {
        factor: width(
            compare(half, half, rules=ReadoutRules(sharpest_at=factor * sharpest_at // 8))
        )
        for factor in (1, 4, 8, 16, 64)
    }
    assert widths[8] < 1.01 * min(widths.values())
    assert widths[8] < 0.9 * widths[64]
    fixed = 2 * NormalDist().inv_cdf(0.975) * sqrt(2 * half.noise)
    assert widths[8] == pytest.approx(1.52 * fixed, rel=0.03)


def width(found: Comparison) -> float:
    assert found.difference is not None
    return found.difference.high - found.difference.low


def test_arms_share_the_level() -> None:
    counts = [ArmCounts(arm=name, users=1_000, conversions=100) for name in "abc"]
    found = read_out(counts, [1, 1, 1])
    assert [one.level for one in found.conversions] == [0.025, 0.025]
    assert [one.arm for one in found.values] == ["b", "c"]


@pytest.mark.parametrize(
    ("users", "converted"), [(99, 9), (500, 0), (0, 0)], ids=["too few", "all alike", "nobody"]
)
def test_where_nothing_can_be_said_nothing_is(users: int, converted: int) -> None:
    many = Sample(arm="control", users=500, total=converted, squares=converted)
    found = compare(many, Sample(arm="bold", users=users, total=converted, squares=converted))
    assert (found.difference, found.lift, found.p_value) == (None, None, 1.0)
    assert found.verdict == "undecided"


def test_nobody_at_all_is_undecided_whatever_is_asked_of_numbers() -> None:
    nobody = Sample(arm="a", users=0, total=0, squares=0)
    assert compare(nobody, nobody, rules=ReadoutRules(fewest_users=0)).verdict == "undecided"


def test_without_conversions_in_the_control_there_is_a_difference_and_no_lift() -> None:
    control = Sample(arm="control", users=5_000, total=0, squares=0)
    bold = Sample(arm="bold", users=5_000, total=200, squares=200)
    found = compare(control, bold)
    assert found.verdict == "better"
    assert found.lift is None


def test_a_mismatch_is_part_of_the_readout() -> None:
    counts = [ArmCounts(arm="a", users=5_000), ArmCounts(arm="b", users=4_000)]
    assert read_out(counts, [0.5, 0.5]).ratio.mismatched
    assert not read_out(counts, [5, 4]).ratio.mismatched


def test_values_are_compared_by_their_sums_and_squares() -> None:
    values = np.random.default_rng(5).exponential(2.0, (2, 400))
    counts = [
        ArmCounts(
            arm=arm,
            users=400,
            value_sum=float(row.sum()),
            value_squares=float((row * row).sum()),
        )
        for arm, row in zip(("a", "b"), values, strict=True)
    ]
    (found,) = read_out(counts, [1, 1]).values
    assert found.difference is not None
    assert found.difference.value == pytest.approx(values[1].mean() - values[0].mean())
    noise = sum(row.var(ddof=1) / 400 for row in values)
    assert sum(sample(row).noise for row in values) == pytest.approx(noise)
