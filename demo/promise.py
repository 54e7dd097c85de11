"""What the log answers at once."""

from typing import Protocol


class Promise(Protocol):
    """The confirmation to come of something handed over; `concurrent.futures.Future` is one."""

    def result(self) -> object:
        """Wait for it; raises what went wrong."""
        ...
