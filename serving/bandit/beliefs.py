"""What is known of items in a segment: posteriors from the online store, priors for the rest."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serving.breaker import Breaker, DependencyUnavailableError
from serving.ports import Posteriors
from stores.posteriors import PosteriorView


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
        try:
            async with asyncio.timeout(left_s):
                found = await self.breaker.call(
                    lambda: self.store.many(item_ids, segment), timeout_s=self.timeout_s
                )
        except TimeoutError as error:
            raise DependencyUnavailableError(self.breaker.name, "no_time_left") from error
        return [view or self.prior for view in found]
