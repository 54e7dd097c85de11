"""How long an event takes to be part of an answer: marked events beside a steady load.

Each probe is a user of its own, about whom nobody else sends anything: when the versions in an
answer have grown, its event is in it. A probe that never sees its event counts as slower than any.
"""

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from demo.promise import Promise
from schemas.types import EventType, UserEvent

EDGES_MS = (10, 25, 50, 100, 150, 200, 300, 500, 1_000, 2_500, 5_000, 10_000)
BAR = 40
TICK_S = 0.01
# Precision of a time: the pause between two looks is at most this share of it.
POLL_SHARE = 0.2


class Answers(Protocol):
    """Where a probe looks for its event."""

    async def versions(self, user_id: str) -> tuple[int, int]:
        """Read the versions of the user's state and vector."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When a marked event was where, in milliseconds after it was produced; None: never."""

    log_ms: float | None = None
    store_ms: float | None = None
    state_ms: float | None = None
    answer_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One kind of time over all probes; infinity where that share of probes was never seen."""

    probes: int
    never: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What went on beside the probes."""

    asked_rate: float
    sent: int
    failed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events a second that were really sent."""
        return self.sent / self.seconds if self.seconds else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Pick the smallest value that at least `share` of all values don't exceed (nearest rank).

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([1.0, 2.0], 0.99)
    (2.0, 2.0)
    """
    if not values:
        return math.nan
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def summary(times_ms: Iterable[float | None]) -> Summary:
    """Sum up; a time that is None was never seen, and is longer than any.

    >>> summary([10.0, None]).p99_ms
    inf
    """
    values = [math.inf if one is None else one for one in times_ms]
    return Summary(
        probes=len(values),
        never=values.count(math.inf),
        p50_ms=percentile(values, 0.50),
        p99_ms=percentile(values, 0.99),
        max_ms=max(values, default=math.nan),
    )


def histogram(times_ms: Iterable[float | None]) -> list[str]:
    """Draw how the times lie, a line for each range between the first and the last that is used."""
    values = list(times_ms)
    counts = [0] * (len(EDGES_MS) + 2)
    for one in values:
        counts[_range_of(one)] += 1
    used = [at for at, count in enumerate(counts) if count]
    if not used:
        return []
    labels = _labels()
    most = max(counts)
    return [
        f"{labels[at]:>14}  {'█' * math.ceil(BAR * counts[at] / most):<{BAR}}  {counts[at]}"
        for at in range(used[0], used[-1] + 1)
    ]


def _range_of(one: float | None) -> int:
    if one is None:
        return len(EDGES_MS) + 1
    return sum(one >= edge for edge in EDGES_MS)


def _labels() -> list[str]:
    between = [f"{low}-{high} ms" for low, high in pairwise(EDGES_MS)]
    return [f"< {EDGES_MS[0]} ms", *between, f">= {EDGES_MS[-1]} ms", "never"]


class BackgroundLoad:
    """Sends views of random items by random users at a steady rate, in a thread of its own."""

    def __init__(
        self,
        *,
        rate: float,
        users: int,
        item_ids: Sequence[str],
        run: str,
        send: Callable[[UserEvent], Promise],
        seed: int = 0,
    ) -> None:
        self._rate = rate
        self._users = users
        self._item_ids = item_ids
        self._run = run
        self._send = send
        self._random = random.Random(seed)  # noqa: S311
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self._promises: list[Promise] = []
        self._seconds = 0.0

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def stop(self) -> Load:
        """End it and say what was sent."""
        self._stop.set()
        self._thread.join()
        failed = sum(not _kept(promise) for promise in self._promises)
        return Load(
            asked_rate=self._rate, sent=len(self._promises), failed=failed, seconds=self._seconds
        )

    def _work(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            for number in range(len(self._promises), due):
                self._promises.append(self._send(self._event(number)))
        self._seconds = time.monotonic() - began

    def _event(self, number: int) -> UserEvent:
        return marked_event(
            user_id=f"{self._run}-load-{self._random.randrange(self._users)}",
            event_id=f"{self._run}-load-{number}",
            item_id=self._random.choice(self._item_ids),
            event_type="view",
            timestamp_ms=int(time.time() * 1000),
        )


def marked_event(
    *, user_id: str, event_id: str, item_id: str, event_type: EventType, timestamp_ms: int
) -> UserEvent:
    """Make an event that the probe knows again."""
    return UserEvent(
        event_id=event_id,
        user_id=user_id,
        event_type=event_type,
        timestamp_ms=timestamp_ms,
        item_id=item_id,
        session_id=user_id,
    )


def _kept(promise: Promise) -> bool:
    try:
        promise.result()
    except Exception:  # noqa: BLE001
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Prober:
    """Sends an event about a user and looks for it until it is everywhere or time is up."""

    send: Callable[[UserEvent], Promise]
    answers: Answers
    store: Answers
    poll_s: float
    timeout_s: float
    clock: Callable[[], float] = field(default=time.perf_counter)
    sleep: Callable[[float], Awaitable[object]] = field(default=asyncio.sleep)

    async def probe(self, event: UserEvent) -> Seen:
        """Measure one event; the user must be known already."""
        before = await self.answers.versions(event.user_id)
        began = self.clock()
        promise = self.send(event)
        log_ms, store_ms, (state_ms, answer_ms) = await asyncio.gather(
            self._logged(promise, began),
            self._stored(event.user_id, before, began),
            self._answered(event.user_id, before, began),
        )
        return Seen(log_ms=log_ms, store_ms=store_ms, state_ms=state_ms, answer_ms=answer_ms)

    async def _logged(self, promise: Promise, began: float) -> float | None:
        kept = await asyncio.to_thread(_kept, promise)
        return self._since(began) if kept else None

    async def _stored(self, user_id: str, before: tuple[int, int], began: float) -> float | None:
        while self._since(began) < self.timeout_s * 1000:
            state, vector = await self.store.versions(user_id)
            if state > before[0] and vector > before[1]:
                return self._since(began)
            await self._pause(began)
        return None

    async def _answered(
        self, user_id: str, before: tuple[int, int], began: float
    ) -> tuple[float | None, float | None]:
        state_ms: float | None = None
        while self._since(began) < self.timeout_s * 1000:
            state, vector = await self.answers.versions(user_id)
            now_ms = self._since(began)
            if state > before[0]:
                state_ms = state_ms if state_ms is not None else now_ms
                if vector > before[1]:
                    return state_ms, now_ms
            await self._pause(began)
        return state_ms, None

    async def _pause(self, began: float) -> None:
        """Look less often the longer it takes, or slow probes would slow the service down."""
        await self.sleep(max(self.poll_s, POLL_SHARE * (self.clock() - began)))

    def _since(self, began: float) -> float:
        return (self.clock() - began) * 1000
