"""Keeps the collector of garbage away from what stays.

A full collection looks at every object, and the catalogue has hundreds of thousands: each time that
holds all answers for tenths of a second. What was there when the catalogue was loaded is set aside,
and the rest is looked through less often; it is little, and most of it goes without a collector.
"""

import asyncio
import gc
from collections.abc import Callable

# Allocations between two collections of the young, and how many of those before the older ones.
THRESHOLDS = (50_000, 20, 50)
EVERY_S = 5.0
GROWN = 1.1


class Heap:
    """Sets aside what a growing catalogue has brought."""

    def __init__(self, items: Callable[[], int]) -> None:
        self._items = items
        self._set_aside = 0

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            self.settle()
            await asyncio.sleep(EVERY_S)

    def settle(self) -> bool:
        """Set everything aside if there is much more than the last time; whether it was done."""
        items = self._items()
        if items <= GROWN * self._set_aside:
            return False
        gc.collect()
        gc.freeze()
        self._set_aside = items
        return True


def collect_seldom() -> None:
    """Have the collector look less often, and not at modules, schemas and routes."""
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
