"""Clients whose reads are hedged: the context of a user, the search, the ranking."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from serving.clients import Clients
from serving.hedge import Hedge
from serving.metrics import Metrics
from serving.ports import Online, Scores, Vectors
from serving.ranker import Ranking
from stores.vectors import EVERYTHING, ItemFilter
from stores.views import ItemView, UserView

Floats = NDArray[np.float32]
Hits = list[tuple[str, float]]


def hedged(clients: Clients, *, share: float, metrics: Metrics) -> Clients:
    """The clients, with so many late reads asked twice; the same ones where none are to be."""
    if not share:
        return clients

    def hedge(kind: str) -> Hedge:
        return Hedge(kind, share=share, metrics=metrics, clock=time.perf_counter)

    online = HedgedOnline(
        online=clients.online, users=hedge("redis_user"), stamps=hedge("redis_stamp")
    )
    return replace(
        clients,
        online=cast("Any", online),
        vectors=cast("Any", HedgedVectors(vectors=clients.vectors, hedge=hedge("milvus"))),
        ranker=cast("Any", HedgedScores(ranker=clients.ranker, hedge=hedge("triton"))),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class HedgedOnline:
    """The online store; lists of items are read beside the requests and need no hurry."""

    online: Online
    users: Hedge
    stamps: Hedge

    async def user(self, user_id: str, *, recent: int) -> UserView:
        """All that is known of a user."""
        return await self.users.call(lambda: self.online.user(user_id, recent=recent))

    async def user_stamp(self, user_id: str) -> bytes:
        """What tells views of a user apart."""
        return await self.stamps.call(lambda: self.online.user_stamp(user_id))

    async def trending(self, n: int) -> list[tuple[str, float]]:
        """The heaviest items with their weights."""
        return await self.online.trending(n)

    async def items_changed_since(self, since_ms: int, *, limit: int) -> list[ItemView]:
        """Changed items, in the order of their changes."""
        return await self.online.items_changed_since(since_ms, limit=limit)


@dataclass(frozen=True, kw_only=True, eq=False)
class HedgedVectors:
    """The vector store."""

    vectors: Vectors
    hedge: Hedge

    async def search_items(
        self,
        vector: Floats,
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> Hits:
        """The nearest items."""
        return await self.hedge.call(lambda: self.vectors.search_items(vector, k, filter=filter))

    async def search_items_each(
        self,
        vectors: Sequence[Floats],
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[Hits]:
        """The nearest items to each of some vectors."""
        return await self.hedge.call(
            lambda: self.vectors.search_items_each(vectors, k, filter=filter)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class HedgedScores:
    """The model server."""

    ranker: Scores
    hedge: Hedge

    async def rank(self, features: Floats) -> Ranking:
        """A score for each row."""
        return await self.hedge.call(lambda: self.ranker.rank(features))
