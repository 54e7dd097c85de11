"""How many requests are let through: a token bucket and a sliding window, both at once.

The bucket fills at the limit's rate and holds what a quiet caller saved up; it keeps the mean. The
window keeps the peak: no second has more than a full bucket. It counts tenths of a second, the
oldest by the share of it that still lies inside, so a second may have more by what a tenth holds.

`stores/lua/limit.lua` does the same where several services count together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor

from schemas.rate_limits import Limit, Room

WINDOW_MS = 1_000
SLOT_MS = 100
SLOTS = WINDOW_MS // SLOT_MS


@dataclass(frozen=True, slots=True)
class Usage:
    """What was spent: tokens left at a time, and requests by tenths of a second."""

    tokens: float
    at_ms: int
    slots: Mapping[int, int] = field(default_factory=dict)


def at(usage: Usage | None, limit: Limit, now_ms: int) -> Usage:
    """The usage as of now; a clock that went back stands still.

    >>> at(Usage(0, 0), Limit(10, 10), 300).tokens
    3.0
    """
    if usage is None:
        return Usage(limit.burst, now_ms)
    now_ms = max(now_ms, usage.at_ms)
    tokens = min(limit.burst, usage.tokens + (now_ms - usage.at_ms) * limit.rate / 1_000)
    oldest = now_ms // SLOT_MS - SLOTS
    return Usage(tokens, now_ms, {slot: n for slot, n in usage.slots.items() if slot >= oldest})


def room(usage: Usage, limit: Limit) -> Room:
    """What a usage as of now leaves.

    >>> room(Usage(3.0, 0), Limit(10, 10))
    Room(left=3.0, wait_ms=0.0, full_ms=700.0)
    """
    in_second = limit.burst - in_window(usage)
    bucket_ms = max(0.0, (1 - usage.tokens) * 1_000 / limit.rate)
    window_ms = _leaving_ms(usage) if in_second < 1 else 0.0
    full_ms = (limit.burst - usage.tokens) * 1_000 / limit.rate
    return Room(min(usage.tokens, in_second), max(bucket_ms, window_ms), full_ms)


def in_window(usage: Usage) -> int:
    """Requests in the second up to now.

    >>> in_window(Usage(0, 1_049, {0: 4, 5: 1}))
    3
    """
    oldest = usage.at_ms // SLOT_MS - SLOTS
    inside_ms = SLOT_MS - 1 - usage.at_ms % SLOT_MS
    return sum(n * inside_ms // SLOT_MS if slot == oldest else n for slot, n in usage.slots.items())


def _leaving_ms(usage: Usage) -> float:
    """Time until some of what the window holds has left it."""
    begins_ms = (min(usage.slots, default=0) + SLOTS) * SLOT_MS - usage.at_ms
    return float(begins_ms if begins_ms > 0 else begins_ms + SLOT_MS)


def spent(usage: Usage) -> Usage:
    """The usage after one more request.

    >>> spent(Usage(3.0, 250))
    Usage(tokens=2.0, at_ms=250, slots={2: 1})
    """
    slot = usage.at_ms // SLOT_MS
    slots = {**usage.slots, slot: usage.slots.get(slot, 0) + 1}
    return Usage(usage.tokens - 1, usage.at_ms, slots)


def whole(left: float) -> int:
    """Requests that may follow at once.

    >>> whole(2.9), whole(-0.5)
    (2, 0)
    """
    return max(0, floor(left))
