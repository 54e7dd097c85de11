import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.beta import beta_cdf, beta_quantile

parameters = st.floats(0.5, 5_000)
shares = st.floats(0.001, 0.999)


def integrated(x: float, alpha: float, beta: float) -> float:
    """The share below x, by adding up the density (both parameters at least 1)."""
    grid = np.linspace(0.0, 1.0, 400_001)[1:-1]
    log_density = (alpha - 1) * np.log(grid) + (beta - 1) * np.log1p(-grid)
    density = np.exp(log_density - log_density.max())
    return float(density[grid <= x].sum() / density.sum())


@pytest.mark.parametrize(
    ("alpha", "beta"), [(1.0, 3.0), (2.0, 5.0), (30.0, 70.0), (400.5, 9_000.25), (1.0, 2_000.0)]
)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantiles_agree_with_the_density_added_up(alpha: float, beta: float, share: float) -> None:
    x = beta_quantile(share, alpha, beta)
    assert integrated(x, alpha, beta) == pytest.approx(share, abs=3e-3)


@pytest.mark.parametrize("power", [0.1, 1.0, 7.0, 10_000.0])
@pytest.mark.parametrize("share", [0.05, 0.95])
def test_quantiles_that_have_a_closed_form(power: float, share: float) -> None:
    assert beta_quantile(share, power, 1.0) == pytest.approx(share ** (1 / power), rel=1e-9)
    assert 1 - beta_quantile(share, 1.0, power) == pytest.approx(
        (1 - share) ** (1 / power), rel=1e-9
    )


@given(shares, parameters, parameters)
def test_the_share_below_a_quantile_is_the_one_that_was_asked_for(
    share: float, alpha: float, beta: float
) -> None:
    x = beta_quantile(share, alpha, beta)
    assert 0.0 <= x <= 1.0
    if 1e-250 < x < 1.0 - 1e-13:
        assert beta_cdf(x, alpha, beta) == pytest.approx(share, abs=1e-6)


@given(st.floats(0, 1), parameters, parameters)
def test_both_tails_make_a_whole(x: float, alpha: float, beta: float) -> None:
    whole = beta_cdf(x, alpha, beta) + beta_cdf(1.0 - x, beta, alpha)
    # 1 - x is rounded, which a steep distribution shows.
    assert whole == pytest.approx(1.0, abs=1e-9) or x < 1e-12


@given(parameters, parameters, st.floats(0.01, 0.98), st.floats(0.001, 0.01))
def test_the_share_below_grows(alpha: float, beta: float, x: float, step: float) -> None:
    assert beta_cdf(x, alpha, beta) <= beta_cdf(x + step, alpha, beta) + 1e-12


@pytest.mark.parametrize("trials", [1e6, 1e9])
def test_a_million_rewards_are_as_good_as_normal(trials: float) -> None:
    spread = (0.3 * 0.7 / trials) ** 0.5
    upper = beta_quantile(0.95, 0.3 * trials, 0.7 * trials)
    assert (upper - 0.3) / spread == pytest.approx(1.6449, abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_no_quantile_stands_at_the_ends(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1 is allowed"):
        beta_quantile(share, 1.0, 1.0)


@pytest.mark.parametrize(("x", "share"), [(-1.0, 0.0), (0.0, 0.0), (1.0, 1.0), (2.0, 1.0)])
def test_outside_there_is_nothing(x: float, share: float) -> None:
    assert beta_cdf(x, 2.0, 3.0) == share
