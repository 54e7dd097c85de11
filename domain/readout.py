"""What an experiment has shown, in numbers that hold whenever one looks.

A test for a fixed number of users errs far more often than it says if its user looks at it on the
way and stops when it likes. The test here may be looked at after every user. It is the mixture
sequential probability ratio test: the ratio of how likely the observed difference `d` (variance
`V`) is if the true one is drawn from a normal distribution around 0 with variance `τ²`, and if
there is none:

    Λ = sqrt(V / (V + τ²)) · exp(τ² d² / (2 V (V + τ²)))

Without an effect Λ is a martingale that starts at 1, so by Ville's inequality the chance that it
ever reaches `1 / level` is at most `level`. Then `min(1, 1 / Λ)` is a p-value at any time, and the
differences that it would not reject are an interval at any time:

    d ± sqrt(V (V + τ²) / τ² · (2 ln(1 / level) + ln((V + τ²) / V)))

`τ²` is `ρ² σ²`, in units of what one user varies, with `V = σ² / n` and `n = n₁ n₀ / (n₁ + n₀)`, so
that with `x = ρ² n` only `x` and `z = d / sqrt(V)` are left in Λ. `ρ²` is chosen beforehand so that
the interval is nearly as tight as it can be when `sharpest_at` users have come; it is valid at all
numbers. The price beside a test with a fixed end is an interval that is wider by half there.

What it leans on: the normal limit, hence `fewest_users`, and arms whose shares stay as they are.
An experiment whose weights change begins anew, under another id. A user's outcome is what is known
of them so far: the effect that is measured is the one up to now.

References: Robbins, Statistical methods related to the law of the iterated logarithm, 1970; Johari
et al., Peeking at A/B tests, 2017; Waudby-Smith et al., Time-uniform central limit theory, 2021
(variances that are estimated, and `ρ²`); Fieller, 1954 (the interval of a ratio).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, inf, log, log1p, sqrt
from typing import Literal

from domain.sample_ratio import SampleRatio, sample_ratio

Verdict = Literal["undecided", "better", "worse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadoutRules:
    """`level`: how often an experiment without any effect may ever show one, over all its arms.

    `sharpest_at`: the users of two arms together by which a decision is hoped for.
    """

    level: float = 0.05
    sharpest_at: int = 20_000
    fewest_users: int = 100

    @property
    def spread(self) -> float:
        """The variance of the mixture, in units of a user's; for arms of the same size."""
        surprise = 2 * log(1 / self.level)
        return (surprise + log1p(surprise)) / (self.sharpest_at / 4)


DEFAULT_RULES = ReadoutRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """What happened in an arm: users who met it, how often, who converted, and a value of each."""

    arm: str
    users: int
    exposures: int = 0
    conversions: int = 0
    value_sum: float = 0.0
    value_squares: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Numbers, one for each user of an arm: how many, their sum, and the sum of their squares.

    >>> four = Sample(arm="bold", users=4, total=4.0, squares=10.0)
    >>> four.mean, four.noise
    (1.0, 0.5)
    """

    arm: str
    users: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """The average, 0 for nobody."""
        return self.total / self.users if self.users else 0.0

    @property
    def noise(self) -> float:
        """The variance of the average, without limit where one can't tell."""
        if self.users < 2:
            return inf
        around = self.squares - self.total * self.mean
        return max(0.0, around) / (self.users - 1) / self.users


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What is estimated, and between what it lies."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An arm beside the control; None and 1 where nothing can be said yet.

    `lift` is the difference as a share of the control's mean.
    """

    arm: str
    control: str
    level: float
    difference: Interval | None = None
    lift: Interval | None = None
    p_value: float = 1.0

    @property
    def verdict(self) -> Verdict:
        """Whether the arm is better or worse, as far as can be told."""
        if self.difference is None or self.p_value > self.level:
            return "undecided"
        return "better" if self.difference.value > 0 else "worse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """All that an experiment shows; with `ratio` mismatched the rest is worth nothing."""

    arms: tuple[ArmCounts, ...]
    ratio: SampleRatio
    conversions: tuple[Comparison, ...]
    values: tuple[Comparison, ...]


def read_out(
    counts: Sequence[ArmCounts], weights: Sequence[float], *, rules: ReadoutRules = DEFAULT_RULES
) -> Readout:
    """Compare each arm with the first, by conversions and by values; `weights` are the arms'.

    >>> control = ArmCounts(arm="control", users=10_000, conversions=1_000)
    >>> bold = ArmCounts(arm="bold", users=10_000, conversions=1_200)
    >>> (found,) = read_out([control, bold], [0.5, 0.5]).conversions
    >>> found.verdict, round(found.lift.value, 2), round(found.lift.low, 2)
    ('better', 0.2, 0.06)
    """
    return Readout(
        arms=tuple(counts),
        ratio=sample_ratio([one.users for one in counts], weights),
        conversions=_beside_first(counts, _converted, rules),
        values=_beside_first(counts, _valued, rules),
    )


def compare(
    control: Sample, other: Sample, *, rules: ReadoutRules = DEFAULT_RULES, level: float = 0.05
) -> Comparison:
    """Compare two samples, at a level of this comparison alone.

    >>> few = Sample(arm="few", users=9, total=3.0, squares=3.0)
    >>> compare(few, few).verdict
    'undecided'
    """
    noise = control.noise + other.noise
    if min(control.users, other.users) < rules.fewest_users or not 0 < noise < inf:
        return Comparison(arm=other.arm, control=control.arm, level=level)
    known = rules.spread / (1 / control.users + 1 / other.users)
    difference, reach = other.mean - control.mean, _reach(known, level)
    return Comparison(
        arm=other.arm,
        control=control.arm,
        level=level,
        difference=_around(difference, reach * sqrt(noise)),
        lift=_lift(control, other, reach),
        p_value=_p_value(known, difference / sqrt(noise)),
    )


def _beside_first(
    counts: Sequence[ArmCounts], sample_of: Callable[[ArmCounts], Sample], rules: ReadoutRules
) -> tuple[Comparison, ...]:
    """Compare with the first; each of several comparisons has its part of the level."""
    control, *others = map(sample_of, counts)
    level = rules.level / max(1, len(others))
    return tuple(compare(control, other, rules=rules, level=level) for other in others)


def _converted(counts: ArmCounts) -> Sample:
    converted = float(counts.conversions)
    return Sample(arm=counts.arm, users=counts.users, total=converted, squares=converted)


def _valued(counts: ArmCounts) -> Sample:
    return Sample(
        arm=counts.arm,
        users=counts.users,
        total=counts.value_sum,
        squares=counts.value_squares,
    )


def _around(value: float, aside: float) -> Interval:
    return Interval(value=value, low=value - aside, high=value + aside)


def _reach(known: float, level: float) -> float:
    """How many standard errors the interval goes to each side."""
    return sqrt((1 + known) / known * (2 * log(1 / level) + log1p(known)))


def _p_value(known: float, z: float) -> float:
    log_ratio = known * z * z / (2 * (1 + known)) - log1p(known) / 2
    return exp(min(0.0, -log_ratio))


def _lift(control: Sample, other: Sample, reach: float) -> Interval | None:
    """Every `q - 1` for which `other - q · control` may be 0, so it has 0 if the difference has.

    None where the control's mean may be 0 itself, for then any ratio may be.
    """
    spread0, spread1 = reach**2 * control.noise, reach**2 * other.noise
    square = control.mean**2 - spread0
    if control.mean <= 0 or square <= 0:
        return None
    product = control.mean * other.mean
    root = sqrt(max(0.0, product**2 - square * (other.mean**2 - spread1)))
    return Interval(
        value=other.mean / control.mean - 1,
        low=(product - root) / square - 1,
        high=(product + root) / square - 1,
    )
