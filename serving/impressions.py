"""Carries impressions to the event log without holding an answer back."""

import asyncio
from collections import Counter, deque
from contextlib import suppress

import structlog

from schemas.topics import PERSONALIZATION_RESULTS
from schemas.types import Impression
from serving.metrics import Metrics
from serving.ports import Log
from stores.errors import LogUnavailable

CAPACITY = 10_000
RETRY_AFTER_S = 1.0
# What comes within so long goes together: to the log a batch is hardly dearer than a record.
GATHERED_S = 0.02
# Longer batches would hold the loop while they are encoded.
BATCH = 128
log = structlog.get_logger(__name__)


class ImpressionLog:
    """A bounded queue that is written batch by batch. What finds it full is dropped and counted."""

    def __init__(
        self,
        event_log: Log,
        *,
        metrics: Metrics,
        capacity: int = CAPACITY,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        self._event_log = event_log
        self._metrics = metrics
        self._capacity = capacity
        self._retry_after_s = retry_after_s
        self._waiting: deque[Impression] = deque()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()
        self._was_full = False
        self._unwritten = 0

    def put(self, impression: Impression) -> None:
        """Hand an impression over; never waits."""
        full = self._unwritten >= self._capacity
        if full:
            self._metrics.impressions.labels("dropped").inc()
            if not self._was_full:
                log.error("impressions are dropped: the queue is full", size=self._unwritten)
        else:
            self._waiting.append(impression)
            self._count(+1)
            self._some.set()
        self._was_full = full

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._some.wait()
            if len(self._waiting) < BATCH:
                await asyncio.sleep(GATHERED_S)
            await self._write(self._next_batch())

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until all is written; what is left then is dropped and counted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._none.wait()
        if self._unwritten:
            self._metrics.impressions.labels("dropped").inc(self._unwritten)
            log.error("impressions are dropped: the service stops", count=self._unwritten)

    def _next_batch(self) -> list[Impression]:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if not self._waiting:
            self._some.clear()
        return batch

    async def _write(self, batch: list[Impression]) -> None:
        while batch:
            outcomes = await self._event_log.append_each(
                PERSONALIZATION_RESULTS, [(one.user_id, one) for one in batch]
            )
            told = list(zip(batch, outcomes, strict=True))
            left = [one for one, outcome in told if isinstance(outcome, LogUnavailable)]
            self._tell([one for one, outcome in told if not isinstance(outcome, LogUnavailable)])
            self._count(len(left) - len(batch))
            if left:
                self._metrics.impressions.labels("retried").inc(len(left))
                log.debug("impressions wait for the log", count=len(left))
                await asyncio.sleep(self._retry_after_s)
            batch = left

    def _tell(self, logged: list[Impression]) -> None:
        self._metrics.impressions.labels("logged").inc(len(logged))
        shown = Counter(item.source for impression in logged for item in impression.items)
        for source, items in shown.items():
            self._metrics.shown.labels(source).inc(items)

    def _count(self, change: int) -> None:
        self._unwritten += change
        self._metrics.impression_queue.set(self._unwritten)
        if self._unwritten:
            self._none.clear()
        else:
            self._none.set()
