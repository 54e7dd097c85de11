"""The connections to everything outside, opened and closed together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from schemas.collections import ITEM_DIM
from serving.breaker import Breaker
from serving.known_user import UserLookup, lookup_of
from serving.metrics import Metrics
from serving.ranker import Ranker
from settings import Settings
from stores.errors import LogUnavailable
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
    event_log: EventLog


@dataclass(frozen=True, kw_only=True, eq=False)
class Breakers:
    """One breaker for each server."""

    redis: Breaker
    milvus: Breaker
    triton: Breaker
    kafka: Breaker

    def all(self) -> tuple[Breaker, ...]:
        """Each of them."""
        return self.redis, self.milvus, self.triton, self.kafka


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Clients]:
    """Clients that connect when they are used; no server need be there yet."""
    redis, milvus = settings.redis, settings.milvus
    async with AsyncExitStack() as closing:
        enter = closing.enter_async_context
        ranker = Ranker(settings.triton.address)
        closing.push_async_callback(ranker.close)
        event_log = EventLog(
            settings.kafka.bootstrap, client_id=CLIENT_ID, deadline_s=LOG_DEADLINE_S
        )
        closing.push_async_callback(asyncio.to_thread, event_log.close)
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
            event_log=event_log,
        )


def breakers_of(clients: Clients, settings: Settings, metrics: Metrics) -> Breakers:
    """The breakers, each with a probe that asks what requests ask.

    A Milvus that has restarted says that it is well long before its collections are loaded again:
    only a search tells.
    """

    async def search() -> None:
        await clients.vectors.search_items(ANY_VECTOR, 1)

    async def connect() -> None:
        await _connect(settings.kafka.bootstrap)

    return Breakers(
        redis=Breaker("redis", probe=clients.online.ping, metrics=metrics),
        milvus=Breaker("milvus", probe=search, metrics=metrics),
        triton=Breaker("triton", probe=clients.ranker.probe, metrics=metrics),
        kafka=Breaker("kafka", probe=connect, metrics=metrics),
    )


async def _connect(bootstrap: str) -> None:
    """Raise unless the first bootstrap server takes a connection."""
    address = urlsplit(f"//{bootstrap.split(',')[0].strip()}")
    try:
        _, writer = await asyncio.open_connection(address.hostname, address.port or 9092)
    except OSError as error:
        raise LogUnavailable(f"no connection to {bootstrap}: {error}") from error
    writer.close()
    await writer.wait_closed()
