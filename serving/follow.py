"""Keeps the catalogue in step with the online store."""

import asyncio
import time
from collections.abc import Callable

import structlog

from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.ports import Online
from stores.errors import StoreError

PAGE = 200
TRENDING = 1_000
log = structlog.get_logger(__name__)


class CatalogFollower:
    """Asks for changes again and again; while the store is away the catalogue stays as it is."""

    def __init__(
        self,
        catalog: Catalog,
        online: Online,
        *,
        metrics: Metrics,
        every_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._catalog = catalog
        self._online = online
        self._metrics = metrics
        self._every_s = every_s
        self._now_ms = now_ms
        self._since_ms = 0
        self._failing = False

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await self.try_refresh()
            await asyncio.sleep(self._every_s)

    async def try_refresh(self) -> None:
        """Take over what changed; a store that is away is counted and told once."""
        try:
            await self.refresh()
        except StoreError as error:
            self._metrics.catalog_failures.inc()
            if not self._failing:
                log.warning("the catalogue can't be refreshed", error=str(error))
            self._failing = True
            return
        if self._failing:
            log.info("the catalogue is followed again", items=len(self._catalog))
        self._failing = False

    async def refresh(self) -> None:
        """Take over all changes since the last time, page by page, and what is trending."""
        while items := await self._online.items_changed_since(self._since_ms, limit=PAGE):
            self._catalog.apply(items, now_ms=self._now_ms())
            self._since_ms = items[-1].changed_at_ms
        self._catalog.set_trending(await self._online.trending(TRENDING))
        self._metrics.catalog_items.set(len(self._catalog))
        self._metrics.catalog_refreshed.set(time.time())
