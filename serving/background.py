"""Work that lasts as long as the service: what ends by a fault is told, counted and begun again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from serving.metrics import Metrics

AGAIN_AFTER_S = 1.0

Work = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger(__name__)


@asynccontextmanager
async def beside(
    *work: Work, metrics: Metrics, again_after_s: float = AGAIN_AFTER_S
) -> AsyncIterator[None]:
    """Run work for as long as the block lasts.

    A catalogue that is followed no more, or kept feedback that nobody delivers, would stay so
    unseen until the next start.
    """
    tasks = [asyncio.create_task(_lasting(one, metrics, again_after_s)) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _lasting(work: Work, metrics: Metrics, again_after_s: float) -> None:
    while True:
        try:
            await work()
        except Exception as error:
            metrics.background_faults.labels(_name(work)).inc()
            log.exception("background work failed", work=_name(work), error=repr(error))
        await asyncio.sleep(again_after_s)


def _name(work: Work) -> str:
    return getattr(work, "__qualname__", "work").removesuffix(".run")
