"""How many requests are under way at a time, and when that is too many."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.metrics import Metrics


class Load:
    """Counts requests; one that comes while there are many has to be answered with little work.

    Waiting in line would make all of them late, and in the end every answer.
    """

    def __init__(self, *, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._under_way = 0

    @contextmanager
    def one_more(self) -> Iterator[bool]:
        """A request, for as long as the block lasts; tells whether there are too many."""
        self._under_way += 1
        self._metrics.under_way.set(self._under_way)
        try:
            yield self._under_way > self._most
        finally:
            self._under_way -= 1
            self._metrics.under_way.set(self._under_way)
