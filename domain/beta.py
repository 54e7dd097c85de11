"""The Beta distribution: its cumulative share, and the quantiles of that."""

from math import exp, inf, lgamma, log, log1p

SMALLEST = 1e-300
ENOUGH = 1e-15
STEPS = 200


def beta_cdf(x: float, alpha: float, beta: float) -> float:
    """How likely a Beta(alpha, beta) is at most `x`: the regularized incomplete beta function.

    >>> round(beta_cdf(0.25, 1.0, 1.0), 12)
    0.25
    """
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = exp(_log_density(x, alpha, beta) + log(x) + log1p(-x))
    # The fraction converges fast on the near side of the mean.
    if x < (alpha + 1.0) / (alpha + beta + 2.0):
        return front * _continued_fraction(x, alpha, beta) / alpha
    return 1.0 - front * _continued_fraction(1.0 - x, beta, alpha) / beta


def beta_quantile(share: float, alpha: float, beta: float) -> float:
    """The value that a Beta(alpha, beta) stays below with a probability of `share`.

    >>> round(beta_quantile(0.05, 1.0, 1.0), 12), round(beta_quantile(0.5, 2.0, 2.0), 12)
    (0.05, 0.5)
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share is {share}; between 0 and 1 is allowed")
    low, high, x = 0.0, 1.0, alpha / (alpha + beta)
    for _ in range(STEPS):
        missing = share - beta_cdf(x, alpha, beta)
        low, high = (x, high) if missing > 0 else (low, x)
        nearer = _newton(x, missing, alpha, beta)
        if not low < nearer < high:
            nearer = (low + high) / 2
        if abs(nearer - x) <= ENOUGH * x:
            break
        x = nearer
    return x


def _newton(x: float, missing: float, alpha: float, beta: float) -> float:
    if not 0.0 < x < 1.0:
        return inf
    density = exp(min(_log_density(x, alpha, beta), 700.0))
    return x + missing / density if density > SMALLEST else inf


def _log_density(x: float, alpha: float, beta: float) -> float:
    scale = lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta)
    return scale + (alpha - 1.0) * log(x) + (beta - 1.0) * log1p(-x)


def _continued_fraction(x: float, alpha: float, beta: float) -> float:
    """Lentz's algorithm (Numerical Recipes, 6.4)."""
    denominator = 1.0 / _not_zero(1.0 - (alpha + beta) * x / (alpha + 1.0))
    numerator, value = 1.0, denominator
    for step in range(1, STEPS):
        twice = alpha + 2 * step
        even = step * (beta - step) * x / ((twice - 1.0) * twice)
        odd = -(alpha + step) * (alpha + beta + step) * x / (twice * (twice + 1.0))
        for term in (even, odd):
            denominator = 1.0 / _not_zero(1.0 + term * denominator)
            numerator = _not_zero(1.0 + term / numerator)
            change = denominator * numerator
            value *= change
        if abs(change - 1.0) < ENOUGH:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > SMALLEST else SMALLEST
