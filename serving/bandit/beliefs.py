"""What is known of items in a segment: posteriors from the online store, priors for the rest."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from serving.breaker import Breaker, DependencyUnavailableError
from serving.ports import Posteriors
from stores.posteriors import PosteriorView

# A failure that comes sooner than this part of the time limit will be the same a moment later.
LATE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class BeliefReader:
    """Reads posteriors in one round trip, through the breaker and within the caller's time.

    A caller who has no time to wait says nothing of the store: only the store's own time limit
    counts as its failure.
    """

    store: Posteriors
    breaker: Breaker
    prior: PosteriorView
    timeout_s: float

    async def read(
        self, item_ids: Sequence[str], segment: str, *, left_s: float | None
    ) -> list[PosteriorView]:
        """What is known, the prior where nothing is; or `DependencyUnavailableError`."""
        return await self._read(item_ids, segment, left_s)

    async def read_or_again(
        self, item_ids: Sequence[str], segment: str, *, left_s: float | None
    ) -> list[PosteriorView]:
        """The same, asked twice where the first answer was late: there is nothing else to give."""
        started = time.perf_counter()
        try:
            return await self._read(item_ids, segment, left_s)
        except DependencyUnavailableError:
            if time.perf_counter() - started < LATE * self.timeout_s:
                raise
        return await self._read(item_ids, segment, left_s)

    async def _read(
        self, item_ids: Sequence[str], segment: str, left_s: float | None
    ) -> list[PosteriorView]:
        try:
            async with asyncio.timeout(left_s):
                found = await self.breaker.call(
                    lambda: self.store.many(item_ids, segment), timeout_s=self.timeout_s
                )
        except TimeoutError as error:
            raise DependencyUnavailableError(self.breaker.name, "no_time_left") from error
        return [view or self.prior for view in found]
