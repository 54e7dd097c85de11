"""The chance of a request: in each place a coin whether to try anything, and a draw of beliefs."""

from dataclasses import dataclass
from hashlib import shake_256

import numpy as np


@dataclass(frozen=True, kw_only=True)
class ExplorationPlan:
    """Chance decided beforehand: slot i explores if its coin is under the rate.

    Then it takes the item that stands at the share `draws[i]` of its pool. Else it takes what is
    best by the belief that stands at the share `tickets[i]` of those that were drawn.
    """

    rate: float
    coins: tuple[float, ...]
    draws: tuple[float, ...]
    tickets: tuple[float, ...]

    def explores(self, slot: int) -> bool:
        """Whether this slot takes its item from the pool."""
        return self.coins[slot] < self.rate


def plan_exploration(*, rate: float, slots: int, seed: str) -> ExplorationPlan:
    """The plan of a request; the same seed gives the same plan, on any machine.

    >>> plan_exploration(rate=0.1, slots=2, seed="r1") == plan_exploration(
    ...     rate=0.1, slots=2, seed="r1")
    True
    """
    words = np.frombuffer(shake_256(seed.encode()).digest(3 * slots * 8), "<u8")
    coins, draws, tickets = ((words >> 11) * 2.0**-53).reshape(3, slots).tolist()
    return ExplorationPlan(
        rate=rate, coins=tuple(coins), draws=tuple(draws), tickets=tuple(tickets)
    )
