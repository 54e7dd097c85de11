"""The connections to everything outside, opened and closed together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from schemas.collections import ITEM_DIM
from schemas.topics import USER_EVENTS
from serving import spans
from serving.breaker import Breaker
from serving.catalog import Catalog
from serving.chat import ChatEndpoint
from serving.known_user import UserLookup, lookup_of
from serving.metrics import Metrics
from serving.ranker import Ranker
from serving.user_tower import UserTower
from settings import Settings
from stores.errors import StoreUnavailable
from stores.event_log import EventLog
from stores.feedback_memory import FeedbackMemory
from stores.neighbors import NeighborsReader
from stores.online import OnlineReader
from stores.posteriors import PosteriorReader
from stores.rate_limits import RateLimitStore
from stores.traces import TraceStore
from stores.vectors import VectorReader

CLIENT_ID = "freshet-api"

# How long a client of the feedback interface may wait for Kafka's word.
LOG_DEADLINE_S = 2.0

# The catalogue is read page by page beside the requests, and may take its time.
CATALOG_TIMEOUT_MS = 5_000
CATALOG_CONNECTIONS = 2

# Traces are written beside the requests, and read by those who ask for nothing else.
TRACES_TIMEOUT_MS = 1_000

ANY_VECTOR = np.eye(1, ITEM_DIM, dtype=np.float32)[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clients:
    """One client for each use of a server."""

    online: OnlineReader
    catalog: OnlineReader
    neighbors: NeighborsReader
    posteriors: PosteriorReader
    memory: FeedbackMemory
    limits: RateLimitStore
    traces: TraceStore
    vectors: VectorReader
    lookup: UserLookup
    ranker: Ranker
    tower: UserTower
    event_log: EventLog
    chat: ChatEndpoint | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Breakers:
    """One breaker for each server, and for a model that need not be there, of either kind."""

    redis: Breaker
    milvus: Breaker
    triton: Breaker
    user_tower: Breaker
    kafka: Breaker
    llm: Breaker | None = None

    def all(self) -> tuple[Breaker, ...]:
        """Each of them."""
        always = self.redis, self.milvus, self.triton, self.user_tower, self.kafka
        return (*always, self.llm) if self.llm else always


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Clients]:
    """Clients that connect when they are used; no server need be there yet."""
    redis, milvus = settings.redis, settings.milvus
    async with AsyncExitStack() as closing:
        enter = closing.enter_async_context
        ranker = Ranker(settings.triton.address)
        closing.push_async_callback(ranker.close)
        tower = UserTower(settings.triton.address)
        closing.push_async_callback(tower.close)
        event_log = EventLog(
            settings.kafka.bootstrap,
            client_id=CLIENT_ID,
            deadline_s=LOG_DEADLINE_S,
            headers=spans.record_headers,
        )
        closing.push_async_callback(asyncio.to_thread, event_log.close)
        chat = ChatEndpoint(settings.reasoner) if settings.reasoner.url else None
        if chat:
            closing.push_async_callback(chat.close)
        yield Clients(
            online=await enter(OnlineReader(redis.url, timeout_ms=redis.timeout_ms)),
            catalog=await enter(
                OnlineReader(
                    redis.url, timeout_ms=CATALOG_TIMEOUT_MS, connections=CATALOG_CONNECTIONS
                )
            ),
            neighbors=await enter(NeighborsReader(redis.url, timeout_ms=redis.timeout_ms)),
            posteriors=await enter(PosteriorReader(redis.url, timeout_ms=redis.timeout_ms)),
            memory=await enter(FeedbackMemory(redis.url, timeout_ms=redis.timeout_ms)),
            limits=await enter(RateLimitStore(redis.url, timeout_ms=redis.timeout_ms)),
            traces=await enter(TraceStore(redis.url, timeout_ms=TRACES_TIMEOUT_MS)),
            vectors=await enter(
                VectorReader(
                    milvus.uri,
                    timeout_ms=milvus.timeout_ms,
                    token=milvus.token.get_secret_value(),
                )
            ),
            lookup=await enter(lookup_of(settings)),
            ranker=ranker,
            tower=tower,
            event_log=event_log,
            chat=chat,
        )


def breakers_of(clients: Clients, catalog: Catalog, metrics: Metrics) -> Breakers:
    """The breakers, each with a probe that asks what requests ask.

    A Milvus that has restarted says that it is well long before its collections are loaded again:
    only a search tells, and one that finds nothing where there is something says no. A Kafka that
    hangs lets connect, so it is given a tick to write.
    """

    async def search() -> None:
        found = await clients.vectors.search_items(ANY_VECTOR, 1)
        if not found and catalog.column("has_vector").any():
            raise StoreUnavailable("Milvus", "it finds no item, though there are some")

    async def write() -> None:
        await clients.event_log.probe(USER_EVENTS)

    return Breakers(
        redis=Breaker("redis", probe=clients.online.ping, metrics=metrics),
        milvus=Breaker("milvus", probe=search, metrics=metrics),
        triton=Breaker("triton", probe=clients.ranker.probe, metrics=metrics),
        user_tower=Breaker("user_tower", probe=clients.tower.probe, metrics=metrics),
        kafka=Breaker("kafka", probe=write, metrics=metrics),
        llm=Breaker("llm", probe=clients.chat.probe, metrics=metrics) if clients.chat else None,
    )
