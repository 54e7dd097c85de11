"""Sends what is due at a fixed rate, and says how long each answer took.

Requests leave when they are due, whether or not the answers to earlier ones have come, and a
request's time counts from the moment at which it was due: a service that falls behind can't hide
it. `fire` does it from a process of its own, with a client that costs little.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np
import uvloop

from bench.light_client import LightClient, NoAnswerError

# Answers whose bodies are kept to be looked into, at most.
KEPT_BODIES = 2_000
GIVE_UP_S = 30.0
NO_ANSWER = 0
# Requests under way at a time, and so connections, at most.
AT_ONCE = 512

Figures = Mapping[str, float]
Shot = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Load:
    """Bodies to post to a path, so many a second."""

    host: str
    port: int
    path: str
    bodies: Sequence[bytes]
    rate: float


@dataclass(frozen=True, kw_only=True)
class Fired:
    """What came of a load: milliseconds from when each was due, in order of their answers."""

    took_ms: Sequence[float]
    statuses: Mapping[int, int]
    bodies: Sequence[bytes]


async def open_loop(shot: Shot, *, rate: float, count: int) -> list[float]:
    """Milliseconds from when each shot was due until it was done."""
    took_ms: list[float] = []

    async def timed(number: int, due: float) -> None:
        await shot(number)
        took_ms.append((time.perf_counter() - due) * 1000)

    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as shots:
        for number in range(count):
            due = started + number / rate
            if (wait_s := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            shots.create_task(timed(number, due))
    return took_ms


def spread(took_ms: Sequence[float]) -> Figures:
    """What is told of many times."""
    p50, p95, p99 = np.percentile(took_ms, [50, 95, 99])
    return {
        "p50": round(float(p50), 2),
        "p95": round(float(p95), 2),
        "p99": round(float(p99), 2),
        "max": round(max(took_ms), 2),
    }


async def fired(load: Load) -> Fired:
    """Send it all from another process and wait for the answers."""
    return await asyncio.to_thread(_fire_elsewhere, load)


def _fire_elsewhere(load: Load) -> Fired:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        return elsewhere.submit(_fire, load).result()


def _fire(load: Load) -> Fired:
    return uvloop.run(_Gun(load).fire())


@dataclass(eq=False)
class _Gun:
    """Posts a load and keeps what comes back."""

    load: Load
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)

    async def fire(self) -> Fired:
        """Send every request when it is due."""
        load, client = self.load, LightClient(self.load.host, self.load.port)
        keep_each, room = max(1, len(load.bodies) // KEPT_BODIES), asyncio.Semaphore(AT_ONCE)

        async def shot(number: int) -> None:
            async with room:
                status, body = await _answer(client, load.path, load.bodies[number])
            self.statuses[status] += 1
            if number % keep_each == 0 and status != NO_ANSWER:
                self.bodies.append(body)

        try:
            took_ms = await open_loop(shot, rate=load.rate, count=len(load.bodies))
        finally:
            client.close()
        return Fired(took_ms=took_ms, statuses=dict(self.statuses), bodies=self.bodies)


async def _answer(client: LightClient, path: str, body: bytes) -> tuple[int, bytes]:
    try:
        async with asyncio.timeout(GIVE_UP_S):
            return await client.post(path, body)
    except (OSError, TimeoutError, NoAnswerError):
        return NO_ANSWER, b""
