"""How many requests are under way at a time, and when that is too many."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.metrics import Metrics

# So many lists whose ranking is remembered cost as much as one that is ranked anew.
LISTS_PER_RANKING = 8


class Load:
    """Counts what is under way; one more than may be has to be answered with little work.

    Waiting in line would make all of them late, and in the end every answer. What costs is to rank
    anew, so this is counted by itself; of all lists there may be more.
    """

    def __init__(self, *, most: int, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._lists = 0
        self._rankings = 0

    @contextmanager
    def a_list(self) -> Iterator[bool]:
        """A list, for as long as the block lasts; tells whether there are too many."""
        self._lists += 1
        self._metrics.under_way.set(self._lists)
        try:
            yield self._lists > self._most * LISTS_PER_RANKING
        finally:
            self._lists -= 1
            self._metrics.under_way.set(self._lists)

    @contextmanager
    def a_ranking(self) -> Iterator[bool]:
        """The same of what is ranked anew."""
        self._rankings += 1
        try:
            yield self._rankings > self._most
        finally:
            self._rankings -= 1
