"""How much time is left for what is being done, told along the way to whichever client asks.

It goes with the context, as deadlines of gRPC do: into tasks, and never past the time of whoever
set an earlier one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ENDS: ContextVar[float | None] = ContextVar("time_left_ends", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What happens inside has so many seconds, or those left outside where they are fewer."""
    ends, outer = time.monotonic() + seconds, _ENDS.get()
    token = _ENDS.set(ends if outer is None else min(ends, outer))
    try:
        yield
    finally:
        _ENDS.reset(token)


def time_left(*, at_most_s: float | None = None) -> float | None:
    """Seconds that a call may take; None where nobody said anything.

    >>> with within(10.0):
    ...     time_left(at_most_s=0.2)
    0.2
    """
    ends = _ENDS.get()
    if ends is None:
        return at_most_s
    left = max(0.0, ends - time.monotonic())
    return left if at_most_s is None else min(left, at_most_s)
