"""Policies: how much each item is worth trying, from what its posterior knows. Chance is given.

A policy scores all items at once, from 0 to 1, as often as it is asked; whoever asks shows the
best. Thompson sampling and
the upper bound have regret that grows with the logarithm of time; epsilon-greedy never stops paying
for its coin and is the baseline. `tests/domain/test_policies.py` holds them to that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPLORATION_WEIGHT = 0.3
CONTEXT_REACH = 0.2
LARGEST_LOGIT = 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Arms:
    """What is known of some items in a segment, a row an item, and the context they compete in.

    Without `weights` or `features` the context says nothing.
    """

    alpha: Floats
    beta: Floats
    weights: NDArray[np.float32] | None = None
    features: NDArray[np.float32] | None = None

    @property
    def expected(self) -> Floats:
        """The mean of each posterior."""
        return self.alpha / (self.alpha + self.beta)


class Policy(Protocol):
    """A way to weigh what is known against what could be learned."""

    def draws(self, arms: Arms, *, count: int, rng: np.random.Generator) -> Floats:
        """What each item is worth trying, 0 to 1: a row a draw, each as if it were the only one."""
        ...

    def expected(self, arms: Arms) -> Floats:
        """What each item is worth if nothing is tried."""
        ...


@dataclass(frozen=True, kw_only=True)
class Thompson:
    """A draw from each posterior: an item is tried as often as it may be the best.

    >>> import numpy as np
    >>> arms = Arms(alpha=np.array([900.0, 1.0]), beta=np.array([100.0, 1_000.0]))
    >>> int(scores(Thompson(), arms, rng=np.random.default_rng(0)).argmax())
    0
    """

    def draws(self, arms: Arms, *, count: int, rng: np.random.Generator) -> Floats:
        """Draw for each item."""
        return _drawn(arms, count=count, rng=rng)

    def expected(self, arms: Arms) -> Floats:
        """The means."""
        return arms.expected


@dataclass(frozen=True, kw_only=True)
class ContextualThompson:
    """The document's: the same draw, moved by at most half of `reach` as the context suggests.

    >>> import numpy as np
    >>> east = np.array([[3.0], [-3.0]], np.float32)
    >>> arms = Arms(alpha=np.full(2, 5e5), beta=np.full(2, 5e5), weights=east,
    ...     features=np.ones(1, np.float32))
    >>> scores(ContextualThompson(), arms, rng=np.random.default_rng(0)).round(1).tolist()
    [0.6, 0.4]
    """

    reach: float = CONTEXT_REACH

    def draws(self, arms: Arms, *, count: int, rng: np.random.Generator) -> Floats:
        """Draw for each item, and look at the context."""
        return self._moved(_drawn(arms, count=count, rng=rng), arms)

    def expected(self, arms: Arms) -> Floats:
        """The means, moved likewise."""
        return self._moved(arms.expected, arms)

    def _moved(self, promise: Floats, arms: Arms) -> Floats:
        if arms.weights is None or arms.features is None:
            return promise
        logits = np.clip(arms.weights @ arms.features, -LARGEST_LOGIT, LARGEST_LOGIT)
        moved = self.reach * (1.0 / (1.0 + np.exp(-logits.astype(np.float64))) - 0.5)
        return np.clip(promise + moved, 0.0, 1.0)


def _drawn(arms: Arms, *, count: int, rng: np.random.Generator) -> Floats:
    """From each posterior so many times.

    Of most items nothing was learned, and what is drawn from Beta(1, 1) is simply anything between
    0 and 1: to draw it so takes a thirtieth of the time.
    """
    drawn: Floats = rng.random((count, len(arms.alpha)))
    learned = np.flatnonzero((arms.alpha != 1.0) | (arms.beta != 1.0))
    if len(learned):
        alpha, beta = arms.alpha[learned], arms.beta[learned]
        drawn[:, learned] = rng.beta(alpha, beta, (count, len(learned)))
    return drawn


@dataclass(frozen=True, kw_only=True)
class UpperBound:
    """UCB1: what an item may be worth if all went well so far; certain, so no draw is made.

    The prior counts among the trials, so nothing is infinite, and no item comes first only because
    nobody tried it.

    >>> import numpy as np
    >>> arms = Arms(alpha=np.array([3.0, 30.0]), beta=np.array([3.0, 30.0]))
    >>> scores(UpperBound(width=0.1), arms, rng=np.random.default_rng(0)).round(2).tolist()
    [0.76, 0.58]
    """

    width: float = 2.0

    def draws(self, arms: Arms, *, count: int, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        """The upper bound of each item, the same in all rows."""
        trials = arms.alpha + arms.beta
        bonus = np.sqrt(self.width * np.log(max(1.0, trials.sum())) / trials)
        bound: Floats = np.clip(arms.expected + bonus, 0.0, 1.0)
        return np.tile(bound, (count, 1))

    def expected(self, arms: Arms) -> Floats:
        """The means, without the bonus."""
        return arms.expected


@dataclass(frozen=True, kw_only=True)
class EpsilonGreedy:
    """The mean of each posterior, or, by a coin, something else altogether.

    >>> import numpy as np
    >>> arms = Arms(alpha=np.array([3.0, 1.0]), beta=np.array([1.0, 1.0]))
    >>> scores(EpsilonGreedy(epsilon=0.0), arms, rng=np.random.default_rng(0)).tolist()
    [0.75, 0.5]
    """

    epsilon: float = 0.1

    def draws(self, arms: Arms, *, count: int, rng: np.random.Generator) -> Floats:
        """Toss the coin once for all items, in each row."""
        explored = rng.random(count) < self.epsilon
        return np.where(
            explored[:, np.newaxis], rng.random((count, arms.alpha.size)), arms.expected
        )

    def expected(self, arms: Arms) -> Floats:
        """The means."""
        return arms.expected


def scores(policy: Policy, arms: Arms, *, rng: np.random.Generator) -> Floats:
    """What each item is worth trying, drawn once.

    >>> import numpy as np
    >>> scores(UpperBound(), Arms(alpha=np.ones(1), beta=np.ones(1)), rng=np.random.default_rng(0))
    array([1.])
    """
    once: Floats = policy.draws(arms, count=1, rng=rng)[0]
    return once


DEFAULT_POLICY = "contextual_thompson"
POLICIES: Mapping[str, Policy] = {
    "thompson": Thompson(),
    "contextual_thompson": ContextualThompson(),
    "upper_bound": UpperBound(),
    "epsilon_greedy": EpsilonGreedy(),
}


def mixed(
    base: Floats, sampled: Floats, *, exploration_weight: float = EXPLORATION_WEIGHT
) -> Floats:
    """The final scores: mostly the ranking's, and some of the policy's.

    >>> import numpy as np
    >>> mixed(np.array([0.5, 1.0]), np.array([1.0, 0.0])).round(2).tolist()
    [0.65, 0.7]
    """
    return (1.0 - exploration_weight) * base + exploration_weight * sampled


def explores(base: Floats, sampled: Floats) -> NDArray[np.bool_]:
    """Which items are lifted by the policy rather than by their ranking.

    >>> import numpy as np
    >>> explores(np.array([0.5, 1.0]), np.array([1.0, 0.0])).tolist()
    [True, False]
    """
    return sampled > base
