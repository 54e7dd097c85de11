"""What is known of items in a segment: posteriors from the online store, priors for the rest."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domain.bandit import BanditRules
from domain.policies import Arms
from domain.segments import CONTEXT_DIM
from serving.breaker import Breaker, DependencyUnavailableError
from stores.posteriors import PosteriorView


class PosteriorStore(Protocol):
    """The online store."""

    async def many(self, item_ids: Sequence[str], segment: str) -> list[PosteriorView | None]:
        """Items in one segment, in their order; None for unknown ones."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Beliefs:
    """Reads posteriors in one round trip, through the breaker and within the caller's time.

    A caller who has no time to wait says nothing of the store: only the store's own time limit
    counts as its failure.
    """

    store: PosteriorStore
    breaker: Breaker
    rules: BanditRules
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
        return [view or self.prior() for view in found]

    def prior(self) -> PosteriorView:
        """An item of which nothing is known; its version is 0."""
        alpha, beta = self.rules.prior_alpha, self.rules.prior_beta
        return PosteriorView(
            version=0,
            log_time_ms=0,
            timestamp_ms=0,
            alpha=alpha,
            beta=beta,
            prior_alpha=alpha,
            prior_beta=beta,
        )


def arms_of(views: Sequence[PosteriorView], features: NDArray[np.float32] | None) -> Arms:
    """What is known as policies take it, a row an item."""
    weights = None
    if features is not None:
        weights = np.zeros((len(views), CONTEXT_DIM), np.float32)
        for row, view in zip(weights, views, strict=True):
            if view.weights is not None:
                row[:] = view.weights
    return Arms(
        alpha=np.array([view.alpha for view in views]),
        beta=np.array([view.beta for view in views]),
        weights=weights,
        features=features,
    )
