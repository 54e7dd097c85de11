"""Sends requests at a fixed rate from a process of its own, at little cost to what is measured.

Requests leave when they are due, whether or not the answers to earlier ones have come, and a
request's time counts from the moment at which it was due: a service that falls behind can't hide
it. A client library takes longer for a request than the service does for its answer, so this one
writes and reads the bytes itself.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import cast

import httptools
import uvloop

# Answers whose bodies are kept to be looked into, at most.
KEPT_BODIES = 2_000
GIVE_UP_S = 30.0
NO_ANSWER = 0


@dataclass(frozen=True, kw_only=True)
class Load:
    """Bodies to post to a path, so many a second, over so many connections at most."""

    host: str
    port: int
    path: str
    bodies: Sequence[bytes]
    rate: float
    connections: int = 256
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Fired:
    """What came of a load: milliseconds from when each was due, in order of their answers."""

    took_ms: Sequence[float]
    statuses: Mapping[int, int]
    bodies: Sequence[bytes]
    late_start_ms: float


def fire(load: Load) -> Fired:
    """Send it all from another process and wait for the answers."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        return elsewhere.submit(_fire, load).result()


async def fired(load: Load) -> Fired:
    """The same for who has a loop to run meanwhile."""
    return await asyncio.to_thread(fire, load)


def _fire(load: Load) -> Fired:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Gun(load).fire())


class _Gun:
    """Keeps connections and hands each request that is due to a free one."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.took_ms: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.bodies: list[bytes] = []
        self.late_s = 0.0
        self._free: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
        self._opened = 0
        self._keep_each = max(1, len(load.bodies) // KEPT_BODIES)

    async def fire(self) -> Fired:
        """Send every request when it is due."""
        started = time.perf_counter()
        async with asyncio.TaskGroup() as shots:
            for number, body in enumerate(self.load.bodies):
                due = started + number / self.load.rate
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                self.late_s = max(self.late_s, time.perf_counter() - due)
                shots.create_task(self._shot(number, body, due))
        return Fired(
            took_ms=self.took_ms,
            statuses=dict(self.statuses),
            bodies=self.bodies,
            late_start_ms=self.late_s * 1000,
        )

    async def _shot(self, number: int, body: bytes, due: float) -> None:
        try:
            async with asyncio.timeout(GIVE_UP_S):
                connection = await self._connection()
                status, answer = await connection.post(body)
        except (OSError, TimeoutError):
            self.statuses[NO_ANSWER] += 1
            self._opened -= 1
            return
        self.took_ms.append((time.perf_counter() - due) * 1000)
        self.statuses[status] += 1
        if number % self._keep_each == 0:
            self.bodies.append(answer)
        self._free.put_nowait(connection)

    async def _connection(self) -> "_Connection":
        while True:
            connection = await self._free_one()
            if not connection.closed:
                return connection
            self._opened -= 1

    async def _free_one(self) -> "_Connection":
        if not self._free.empty() or self._opened >= self.load.connections:
            return await self._free.get()
        self._opened += 1
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self.load), self.load.host, self.load.port
        )
        return connection


class _Connection(asyncio.Protocol):
    """One connection that stays open, with one request on it at a time."""

    def __init__(self, load: Load) -> None:
        headers = {"Host": load.host, "Content-Type": "application/json", **(load.headers or {})}
        head = [f"POST {load.path} HTTP/1.1", *(f"{name}: {v}" for name, v in headers.items())]
        self._head = "\r\n".join([*head, "Content-Length: "]).encode()
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._read: list[bytes] = []
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A loop's own transports need not say that they are of asyncio's kinds.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._parser = httptools.HttpResponseParser(self)

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Send a body; the status and the body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """The parser read a piece of the answer."""
        self._read.append(body)

    def on_message_complete(self) -> None:
        """The parser read the whole answer."""
        answer, self._answer = self._answer, None
        body, self._read = b"".join(self._read), []
        self.closed = not self._parser.should_keep_alive()
        if answer is not None and not answer.done():
            answer.set_result((self._parser.get_status_code(), body))

    def connection_lost(self, _: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the service closed the connection"))
