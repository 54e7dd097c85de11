"""Feedback that was acknowledged while Kafka was away: kept on disk, delivered when it is back."""

import asyncio
from collections.abc import Sequence

import structlog

from schemas.codec import DecodeError, decode, encode
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from serving.breaker import Breaker, DependencyUnavailableError
from serving.metrics import Metrics
from serving.ports import Log
from stores.errors import StoreError
from stores.spool import Spool, Spooled

BATCH = 200

log = structlog.get_logger(__name__)


class KeptFeedback:
    """Keeps events, and delivers them in their order; a crash between delivers some again.

    The job knows an event that comes again by its id, so each counts once.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        event_log: Log,
        breaker: Breaker,
        metrics: Metrics,
        every_s: float,
        timeout_s: float,
    ) -> None:
        self._spool = spool
        self._event_log = event_log
        self._breaker = breaker
        self._metrics = metrics
        self._every_s = every_s
        self._timeout_s = timeout_s

    async def keep(self, events: Sequence[UserEvent]) -> None:
        """Have events on the disk, or `StoreError`."""
        await asyncio.to_thread(self._spool.keep, [(one.user_id, encode(one)) for one in events])
        self._metrics.kept_feedback.labels("kept").inc(len(events))

    async def waiting(self) -> int:
        """How many events are on the disk and not yet in the log."""
        return await asyncio.to_thread(len, self._spool)

    async def run(self) -> None:
        """Deliver for ever what is kept, also what an earlier process has kept."""
        while True:
            try:
                await self.deliver()
            except (StoreError, DependencyUnavailableError) as error:
                log.debug("feedback stays kept", error=str(error))
            await asyncio.sleep(self._every_s)

    async def deliver(self) -> None:
        """Deliver all that is kept, as long as Kafka takes it."""
        while waiting := await asyncio.to_thread(self._spool.first, BATCH):
            await self._deliver(waiting)
            await asyncio.to_thread(self._spool.drop, [one.number for one in waiting])
            log.info("kept feedback is delivered", events=len(waiting))
        self._metrics.waiting_feedback.set(0)

    async def _deliver(self, waiting: Sequence[Spooled]) -> None:
        self._metrics.waiting_feedback.set(await self.waiting())
        events = [event for one in waiting if (event := self._read(one)) is not None]
        await self._breaker.call(
            lambda: asyncio.gather(
                *(self._event_log.append(USER_EVENTS, one.user_id, one) for one in events)
            ),
            timeout_s=self._timeout_s,
        )
        self._metrics.kept_feedback.labels("delivered").inc(len(events))

    def _read(self, one: Spooled) -> UserEvent | None:
        try:
            return decode(one.payload, UserEvent)
        except DecodeError as error:
            log.warning("kept feedback can't be read, and is dropped", error=str(error))
            self._metrics.kept_feedback.labels("unreadable").inc()
            return None
