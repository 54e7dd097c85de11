"""Carries impressions to the event log without holding an answer back."""

import asyncio
from collections import Counter
from contextlib import suppress

import structlog

from schemas.topics import PERSONALIZATION_RESULTS
from schemas.types import Impression
from serving.metrics import Metrics
from serving.ports import Log
from stores.errors import LogUnavailable

CAPACITY = 10_000
WRITERS = 8
RETRY_AFTER_S = 1.0
log = structlog.get_logger(__name__)


class ImpressionLog:
    """A bounded queue with a few writers. What finds it full is dropped, counted and told."""

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
        self._retry_after_s = retry_after_s
        self._queue: asyncio.Queue[Impression] = asyncio.Queue(capacity)
        self._was_full = False
        self._unwritten = 0

    def put(self, impression: Impression) -> None:
        """Hand an impression over; never waits."""
        full = self._queue.full()
        if full:
            self._metrics.impressions.labels("dropped").inc()
            if not self._was_full:
                log.error("impressions are dropped: the queue is full", size=self._queue.qsize())
        else:
            self._queue.put_nowait(impression)
            self._unwritten += 1
        self._was_full = full
        self._metrics.impression_queue.set(self._unwritten)

    async def run(self) -> None:
        """Write for ever."""
        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(self._write_all())

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until all is written; what is left then is dropped and counted."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._queue.join()
        if self._unwritten:
            self._metrics.impressions.labels("dropped").inc(self._unwritten)
            log.error("impressions are dropped: the service stops", count=self._unwritten)

    async def _write_all(self) -> None:
        while True:
            impression = await self._queue.get()
            await self._write(impression)
            self._queue.task_done()
            self._unwritten -= 1
            self._metrics.impression_queue.set(self._unwritten)

    async def _write(self, impression: Impression) -> None:
        while True:
            try:
                await self._event_log.append(
                    PERSONALIZATION_RESULTS, impression.user_id, impression
                )
            except LogUnavailable as error:
                self._metrics.impressions.labels("retried").inc()
                log.debug("an impression waits for the log", error=str(error))
                await asyncio.sleep(self._retry_after_s)
                continue
            self._count(impression)
            return

    def _count(self, impression: Impression) -> None:
        self._metrics.impressions.labels("logged").inc()
        for source, items in Counter(one.source for one in impression.items).items():
            self._metrics.shown.labels(source).inc(items)
