"""How much is going on around an item, as an exponentially decayed sum of weights.

The sum is kept as a logarithm, decayed forward: an event at `t` adds `weight * 2**(t / half_life)`,
and only the base-2 logarithm of the total is stored. It never overflows, the order in which events
arrive doesn't matter, and two items compare at any instant without touching either.
"""

from math import exp2, log1p, log2

from domain.events import ACTION_WEIGHTS

# One unit of weight in 1970: nothing, at any later time that matters.
NOTHING = 0.0
_LOG2_E = 1.4426950408889634


def popularity_weight(event_type: str) -> float:
    """What an event adds to its item: what speaks against it adds nothing.

    >>> popularity_weight("purchase"), popularity_weight("dismiss")
    (1.0, 0.0)
    """
    return max(0.0, ACTION_WEIGHTS.get(event_type, 0.0))


def add_weight(trending: float, *, weight: float, timestamp_ms: int, half_life_ms: int) -> float:
    """Add the weight of one event to a forward-decayed logarithm.

    >>> once = add_weight(NOTHING, weight=1.0, timestamp_ms=7_200_000_000, half_life_ms=3_600_000)
    >>> twice = add_weight(once, weight=1.0, timestamp_ms=7_200_000_000, half_life_ms=3_600_000)
    >>> once, twice
    (2000.0, 2001.0)
    """
    if weight <= 0.0:
        return trending
    added = log2(weight) + timestamp_ms / half_life_ms
    high, low = max(trending, added), min(trending, added)
    return high + log1p(exp2(low - high)) * _LOG2_E


def popularity_at(trending: float, *, at_ms: int, half_life_ms: int) -> float:
    """Read the decayed sum of weights at an instant.

    >>> popularity_at(2001.0, at_ms=7_200_000_000 + 3_600_000, half_life_ms=3_600_000)
    1.0
    """
    return exp2(min(1000.0, trending - at_ms / half_life_ms))
