"""Epsilon-greedy by slot: in each place, with a small chance, something else is tried."""

from dataclasses import dataclass
from hashlib import shake_256

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ExplorationPlan:
    """Chance decided beforehand: slot i explores if its coin is under the rate.

    Then it takes the item that stands at the share `draws[i]` of its pool.
    """

    rate: float
    coins: tuple[float, ...]
    draws: tuple[float, ...]

    def explores(self, slot: int) -> bool:
        """Whether this slot takes its item from the pool."""
        return self.coins[slot] < self.rate


def plan_exploration(*, rate: float, slots: int, seed: str) -> ExplorationPlan:
    """The plan of a request; the same seed gives the same plan, on any machine.

    >>> plan_exploration(rate=0.1, slots=2, seed="r1") == plan_exploration(
    ...     rate=0.1, slots=2, seed="r1")
    True
    """
    words = np.frombuffer(shake_256(seed.encode()).digest(2 * slots * 8), "<u8")
    coins, draws = ((words >> 11) * 2.0**-53).reshape(2, slots).tolist()
    return ExplorationPlan(rate=rate, coins=tuple(coins), draws=tuple(draws))
