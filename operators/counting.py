"""Counters of an operator: as Flink's metrics show them, or in a dict."""

from collections import Counter
from functools import cache
from typing import Any


class Counters:
    """Counters by name; those of dead letters carry their reason as a label."""

    def __init__(self, metric_group: Any) -> None:
        self._counter = cache(metric_group.counter)
        self._dead = cache(
            lambda reason: metric_group.add_group("reason", reason).counter("dead_letters")
        )

    def count(self, name: str, by: int = 1) -> None:
        """More of something."""
        self._counter(name).inc(by)

    def dead_letter(self, reason: str) -> None:
        """One more message that could not be used."""
        self._dead(reason).inc()


class Tally:
    """The same without an engine; dead letters are counted as `dead_letters.<reason>`.

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
        self.counters[f"dead_letters.{reason}"] += 1
