"""Whether users came to the arms in the shares that were meant; if not, nothing else can be read.

Two answers to the same question. Pearson's chi-square is what everybody knows; its p-value holds
for one look at a time that was fixed beforehand. The other holds at all looks together: the ratio
of how likely the counts are if the shares are unknown (a Dirichlet around those that were meant,
worth `CONCENTRATION` users) and if they are as meant. In a fair experiment this ratio is a
martingale that starts at 1, so by Ville's inequality it ever reaches 1 / level with a probability
of at most `level` (Lindon & Malek, Anytime-valid inference for multinomial count data, 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, fsum, gamma, lgamma, log, sqrt

CONCENTRATION = 1_000.0
# An alarm stops an experiment, so it is rarer than a finding.
RATIO_LEVEL = 0.001
LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """What counts say of the shares: `p_value` for one look, `p_value_always` for any number."""

    chi_square: float
    p_value: float
    p_value_always: float

    @property
    def mismatched(self) -> bool:
        """Whether users went astray, with as many looks as one likes."""
        return self.p_value_always < RATIO_LEVEL


def sample_ratio(users: Sequence[int], weights: Sequence[float]) -> SampleRatio:
    """Compare how many users each arm has with the shares that it was to have, all above 0.

    >>> sample_ratio([1_000, 1_000], [0.5, 0.5]).mismatched
    False
    >>> found = sample_ratio([5_200, 4_800], [0.5, 0.5])
    >>> round(found.chi_square, 6), round(found.p_value, 6), round(found.p_value_always, 6)
    (16.0, 6.3e-05, 0.002298)
    """
    shares = [weight / sum(weights) for weight in weights]
    chi_square = _chi_square(users, shares)
    return SampleRatio(
        chi_square=chi_square,
        p_value=chi_square_tail(chi_square, len(shares) - 1),
        p_value_always=exp(min(0.0, -_log_ratio(users, shares))),
    )


def chi_square_tail(value: float, degrees: int) -> float:
    """How likely a chi-square of so many degrees of freedom exceeds a value.

    >>> round(chi_square_tail(3.841459, 1), 6), round(chi_square_tail(16.918978, 9), 6)
    (0.05, 0.05)
    >>> round(chi_square_tail(9.487729, 4), 6), chi_square_tail(0.0, 0)
    (0.05, 1.0)
    """
    half = value / 2
    if half <= 0:
        return 1.0
    if half > LARGEST_EXPONENT:
        return 0.0
    # For whole numbers of degrees the incomplete gamma function is a finite sum.
    odd = degrees % 2
    powers = (step + odd / 2 for step in range(degrees // 2))
    terms = (half**power / gamma(power + 1) for power in powers)
    return fsum(terms) * exp(-half) + (erfc(sqrt(half)) if odd else 0.0)


def _chi_square(users: Sequence[int], shares: Sequence[float]) -> float:
    total = sum(users)
    if not total:
        return 0.0
    pairs = zip(users, shares, strict=True)
    return sum((seen - share * total) ** 2 / (share * total) for seen, share in pairs)


def _log_ratio(users: Sequence[int], shares: Sequence[float]) -> float:
    ratio = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + sum(users))
    for seen, share in zip(users, shares, strict=True):
        prior = CONCENTRATION * share
        ratio += lgamma(prior + seen) - lgamma(prior) - seen * log(share)
    return ratio
