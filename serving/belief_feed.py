"""Tells the beliefs what rewards taught since, a moment after the online store has it."""

import asyncio
import time
from collections.abc import Callable

import structlog

from serving.beliefs import BeliefCache
from serving.ports import PosteriorChanges
from stores.errors import StoreError

EVERY_S = 0.1
PAGE = 2_000
# The list of changes holds the latest only: after so long a silence some may be gone from it.
SILENCE_S = 5.0
log = structlog.get_logger(__name__)


class BeliefFeed:
    """Asks for changes again and again; what is believed stays as it is while the store is away."""

    def __init__(
        self,
        changes: PosteriorChanges,
        beliefs: BeliefCache,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._beliefs = beliefs
        self._clock = clock
        self._after: str | None = None
        self._heard_at = float("-inf")

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await self.try_follow()
            await asyncio.sleep(EVERY_S)

    async def try_follow(self) -> None:
        """Take over what changed; a store that is away tells nothing."""
        try:
            await self.follow()
        except StoreError as error:
            log.debug("changes of posteriors can't be followed", error=str(error))

    async def follow(self) -> None:
        """Take over all changes since the last time."""
        if self._after is None or self._clock() - self._heard_at > SILENCE_S:
            self._after = await self._changes.latest_change()
            self._beliefs.forget_all()
        began = self._clock()
        while found := await self._changes.changed_after(self._after, limit=PAGE):
            for change in found:
                self._beliefs.forget(change.item_id, change.segment)
            self._after = found[-1].change_id
        self._heard_at = began
        self._beliefs.followed()
