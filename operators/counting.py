"""Counters of an operator: as Flink's metrics show them, or in a dict."""

from collections import Counter
from functools import cache
from typing import Any

_DEAD = "dead_letters."


class Tally:
    """Counters by name; dead letters are counted as `dead_letters.<reason>`.

    >>> tally = Tally()
    >>> tally.count("accepted", 2)
    >>> tally.counters
    Counter({'accepted': 2})
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()

    def count(self, name: str, by: int = 1) -> None:
        """More of something."""
        self.counters[name] += by

    def dead_letter(self, reason: str) -> None:
        """One more message that could not be used."""
        self.counters[_DEAD + reason] += 1


class Counters(Tally):
    """The same for Flink, which is told now and then: each telling is a call into the JVM."""

    def __init__(self, metric_group: Any) -> None:
        super().__init__()
        self._metric_group = metric_group
        self._told = cache(self._metric)

    def tell(self) -> None:
        """Tell Flink what was counted since the last time."""
        for name, by in self.counters.items():
            self._told(name).inc(by)
        self.counters.clear()

    def _metric(self, name: str) -> Any:
        """Those of dead letters carry their reason as a label."""
        if name.startswith(_DEAD):
            group = self._metric_group.add_group("reason", name.removeprefix(_DEAD))
            return group.counter("dead_letters")
        return self._metric_group.counter(name)
