"""What a reaction to something shown is worth: the one table of rewards.

The document gives weights to view, click, add_to_cart, purchase and dismiss; a reward has the same
scale, 0 to 1, and what speaks against an item is worth nothing. A view or a dwell is a reaction
only if it lasted: a short one is no more than what a showing leads to.
"""

from math import isfinite
from types import MappingProxyType

from schemas.types import UserEvent

ENGAGED_MS = 30_000

REWARDS = MappingProxyType(
    {
        "purchase": 1.0,
        "share": 0.6,
        "add_to_cart": 0.5,
        "like": 0.5,
        "review": 0.4,
        "click": 0.3,
        "skip": 0.0,
        "dismiss": 0.0,
    }
)
ENGAGED_REWARD = 0.2
UNREACTED_REWARD = 0.0


def reward_of(event: UserEvent) -> float | None:
    """The reward of an event, None for one that says nothing about its item.

    What the producer states wins, clipped to 0..1.

    >>> buy = UserEvent(event_id="e", user_id="u", event_type="purchase", timestamp_ms=0)
    >>> reward_of(buy)
    1.0
    >>> look = UserEvent(
    ...     event_id="e", user_id="u", event_type="view", timestamp_ms=0, duration_ms=31_000)
    >>> reward_of(look)
    0.2
    """
    stated = event.reward_override
    if stated is not None and isfinite(stated):
        return min(1.0, max(0.0, stated))
    if event.event_type in {"view", "dwell"}:
        return ENGAGED_REWARD if (event.duration_ms or 0) > ENGAGED_MS else None
    return REWARDS.get(event.event_type)
