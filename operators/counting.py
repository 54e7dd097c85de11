"""Counters of an operator, as Flink's metrics show them."""

from functools import cache
from typing import Any


class Counters:
    """Counters by name; those of dead letters carry their reason as a label."""

    def __init__(self, metric_group: Any) -> None:
        self._counter = cache(metric_group.counter)
        self._dead = cache(
            lambda reason: metric_group.add_group("reason", reason).counter("dead_letters")
        )

    def count(self, name: str) -> None:
        """One more."""
        self._counter(name).inc()

    def dead_letter(self, reason: str) -> None:
        """One more message that could not be used."""
        self._dead(reason).inc()
