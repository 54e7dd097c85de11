"""A server that speaks Redis: clients, their errors, and calls that end in their time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar, Self

import redis
from redis import asyncio as aioredis
from redis import exceptions as failures
from redis.asyncio.client import Pipeline

from stores.errors import StoreRejected, StoreUnavailable
from stores.fair_timeout import fair_timeout
from stores.round_trips import Command, RoundTrips
from stores.time_left import time_left

STORE = "Redis"

# The server is there but can't work now; everything else it answers is about what was asked.
PASSING = (
    failures.OutOfMemoryError,
    failures.ReadOnlyError,
    failures.TryAgainError,
    failures.ClusterDownError,
    failures.MasterDownError,
)


def connect(url: str, *, timeout_s: float = 5.0) -> "redis.Redis":
    """Make a client for writers; it connects when it's first used, and again when it must."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=30,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client's errors into the stores' own."""
    try:
        yield
    except PASSING as error:
        raise StoreUnavailable(STORE, error) from error
    except failures.ResponseError as error:
        passing = str(error).startswith(("MISCONF", "NOREPLICAS", "LOADING", "BUSY"))
        raise (StoreUnavailable if passing else StoreRejected)(STORE, error) from error
    except (failures.RedisError, OSError) as error:
        raise StoreUnavailable(STORE, f"{type(error).__name__} {error}".strip()) from error


class RedisReader:
    """What asks a server within a time, or raises `StoreUnavailable`. Use it with `async with`.

    It connects when it is first used. A call also fails in time while all connections are in use.
    """

    CONNECTIONS: ClassVar[int] = 16

    def __init__(self, url: str, *, timeout_ms: int, connections: int | None = None) -> None:
        self._timeout_s = timeout_ms / 1000
        self._pool = aioredis.BlockingConnectionPool.from_url(
            url,
            max_connections=connections or self.CONNECTIONS,
            # The one limit to a call is `_asking`'s; those of the client are in no way fair.
            timeout=None,
        )
        self._client = aioredis.Redis(connection_pool=self._pool)
        self._round_trips = RoundTrips(self._answered)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections; a client doesn't close a pool that it was given."""
        await self._client.aclose()
        await self._pool.disconnect()

    async def _answers(self, *commands: Command) -> Sequence[Any]:
        """What the server says to each, in a round trip that others may share."""
        with translated():
            return await self._round_trips.answers(commands)

    async def _answered(self, commands: Sequence[Command]) -> Sequence[Any]:
        async with self._asking() as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            found: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        return found

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Pipeline]:
        """One round trip: what is put into the pipeline and executed inside."""
        with translated():
            async with (
                fair_timeout(time_left(at_most_s=self._timeout_s)),
                self._client.pipeline(transaction=False) as pipeline,
            ):
                yield pipeline
