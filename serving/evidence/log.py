"""Carries what answers were made of into the online store, without holding an answer back."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from schemas.codec import encode
from serving.catalog import Catalog
from serving.evidence.taking import (
    Going,
    Histories,
    Taken,
    answer_trace,
    features_of,
    ranking_trace,
    shape_of,
)
from serving.metrics import Metrics
from serving.rankings import LIFETIME_S
from serving.stages.answer import Chosen
from serving.trace import Trace
from stores.errors import StoreError
from stores.traces import KeptAnswer

CAPACITY = 256
AT_ONCE = 16
log = structlog.get_logger(__name__)


class Traces(Protocol):
    """Where traces are written."""

    async def write(
        self, kept: Sequence[KeptAnswer], *, lifetime_s: int, ranking_s: int
    ) -> list[bool]:
        """Write some, and tell of each whether it was."""
        ...


class EvidenceLog:
    """A bounded queue of answers, and one task that makes records of them and writes them.

    What is handed over are references, so an answer pays for a place in the queue alone. More than
    `per_s` answers a second, and what finds the queue full, are left out and counted.
    """

    def __init__(
        self,
        store: Traces,
        *,
        catalog: Catalog,
        metrics: Metrics,
        going: Going,
        lifetime_s: int,
        per_s: int,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = CAPACITY,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._metrics = metrics
        self._going = going
        self._lifetime_s = lifetime_s
        self._per_s = per_s
        self._clock = clock
        self._queue: asyncio.Queue[Taken] = asyncio.Queue(capacity)
        self._histories = Histories()
        self._second = 0.0
        self._in_second = 0

    def put(self, chosen: Chosen, trace: Trace, made: Mapping[str, Any], shape: object) -> None:
        """Hand an answer over; never waits."""
        if not self._lifetime_s:
            return
        if refusal := self._refusal():
            self._metrics.traces.labels(refusal).inc()
            return
        evidence = chosen.shortlist.evidence
        first = not evidence.kept_as
        if first:
            evidence.kept_as = chosen.admitted.request_id
        self._queue.put_nowait(
            Taken(
                chosen=chosen,
                trace=trace,
                made=made,
                shape=shape_of(shape),
                trending=self._catalog.trending,
                popular=self._catalog.popular,
                catalogue_version=self._catalog.version,
                entries_version=self._catalog.entries_version,
                ranking=evidence.kept_as,
                first=first,
                features=features_of(chosen.shortlist),
            )
        )

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._write_with(await self._queue.get())

    async def write_waiting(self) -> None:
        """Write what waits now."""
        while not self._queue.empty():
            await self._write_with(self._queue.get_nowait())

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until all is written, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._queue.join()

    async def _write_with(self, first: Taken) -> None:
        """Write one, and others that wait."""
        taken = [first]
        while len(taken) < AT_ONCE and not self._queue.empty():
            taken.append(self._queue.get_nowait())
        try:
            await self._write(taken)
        finally:
            for _ in taken:
                self._queue.task_done()

    def _refusal(self) -> str:
        """Why an answer is left out, "" where it isn't."""
        if self._queue.full():
            return "full"
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._in_second = now, 0
        self._in_second += 1
        return "too_many" if self._in_second > self._per_s else ""

    async def _write(self, taken: Sequence[Taken]) -> None:
        kept = []
        for one in taken:
            if record := self._record(one):
                kept.append(record)
            # A request that came meanwhile goes first.
            await asyncio.sleep(0)
        if not kept:
            return
        try:
            told = await self._store.write(
                kept, lifetime_s=self._lifetime_s, ranking_s=self._lifetime_s + round(LIFETIME_S)
            )
        except StoreError as error:
            log.debug("traces are left out", error=str(error), count=len(kept))
            self._metrics.traces.labels("failed").inc(len(kept))
            return
        for written in told:
            self._metrics.traces.labels("kept" if written else "erased").inc()

    def _record(self, taken: Taken) -> KeptAnswer | None:
        if taken.entries_version != self._catalog.entries_version:
            # What the answer saw of the catalogue is there no more; a wrong trace would be worse.
            self._metrics.traces.labels("changed").inc()
            return None
        try:
            return kept_answer(taken, self._catalog, self._going, self._histories)
        except Exception:
            # A trace must never end what writes the others.
            log.exception("a trace can't be made", request_id=taken.ranking)
            self._metrics.traces.labels("failed").inc()
            return None


def kept_answer(taken: Taken, catalog: Catalog, going: Going, histories: Histories) -> KeptAnswer:
    """What is written of an answer."""
    admitted, known = taken.chosen.admitted, taken.chosen.known
    return KeptAnswer(
        request_id=admitted.request_id,
        user_id=admitted.request.user_id,
        at_ms=admitted.now_ms,
        state_ms=known.view.log_time_ms or admitted.now_ms,
        answer=encode(answer_trace(taken, catalog, going, histories)),
        ranking_key=taken.ranking,
        ranking=encode(ranking_trace(taken, catalog)) if taken.first else b"",
        own=not known.is_cold,
    )
