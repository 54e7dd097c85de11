"""Asks a second time where the first answer is unusually late, and takes whichever comes first.

For reads that change nothing. It pays where a late answer says nothing of the next one: several
replicas behind one address. A lone server that stands still lets both wait.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from serving.metrics import Metrics

# The latest answers, by which is told what is late.
LATEST = 200
LATE = 0.95
# So often the late ones are told anew.
EVERY = 20
# Tokens that quiet times may save up, so that one slow second doesn't double the load.
MOST_SAVED = 5.0

Answer = TypeVar("Answer")


class Hedge:
    """Hedges the calls of one kind; `share` of them at most, 0 for none."""

    def __init__(
        self, kind: str, *, share: float, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._kind = kind
        self._share = share
        self._metrics = metrics
        self._clock = clock
        self._took: deque[float] = deque(maxlen=LATEST)
        self._seen = 0
        self._late_s: float | None = None
        self._saved = 0.0

    async def call(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The first answer of one call, or of two where the first is late."""
        self._saved = min(MOST_SAVED, self._saved + self._share)
        if not self._share or self._late_s is None:
            return await self._timed(make)
        first = asyncio.ensure_future(self._timed(make))
        try:
            await asyncio.wait([first], timeout=self._late_s)
            if first.done() or self._saved < 1.0:
                return await first
            return await self._with_second(first, make)
        finally:
            first.cancel()

    async def _with_second(
        self, first: "asyncio.Future[Answer]", make: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        self._saved -= 1.0
        second = asyncio.ensure_future(make())
        for one in (first, second):
            one.add_done_callback(_heard)
        try:
            done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
            won = first not in done
            self._metrics.hedges.labels(self._kind, "won" if won else "lost").inc()
            # A failure says nothing while the other may still answer.
            other = first if won else second
            chosen = second if won else first
            return await (other if chosen.exception() is not None else chosen)
        finally:
            second.cancel()

    async def _timed(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        started = self._clock()
        answer = await make()
        self._learn(self._clock() - started)
        return answer

    def _learn(self, took_s: float) -> None:
        self._took.append(took_s)
        self._seen += 1
        if self._seen >= LATEST and self._seen % EVERY == 0:
            self._late_s = sorted(self._took)[int(LATE * len(self._took))]


def _heard(one: "asyncio.Future[Answer]") -> None:
    """Nobody may be left to hear of a failure."""
    if not one.cancelled():
        one.exception()
