"""Keeps a dead dependency cheap: calls are skipped until a probe in the background succeeds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

from serving import spans
from serving.chat import ChatUnavailableError
from serving.metrics import Metrics
from serving.model_calls import ModelUnavailableError
from stores.errors import StoreError
from stores.fair_timeout import fair_timeout
from stores.time_left import within

FAILURES_TO_OPEN = 3
PROBE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 2.0

# What a call may fail with; anything else is a fault of the program and is not hidden here.
FAILURES = (StoreError, ModelUnavailableError, ChatUnavailableError, TimeoutError)

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


class DependencyUnavailableError(Exception):
    """A dependency gave no answer; `cause` is open, no_time_left, timeout or error."""

    def __init__(self, dependency: str, cause: str) -> None:
        super().__init__(f"{dependency} is unavailable ({cause})")
        self.dependency = dependency
        self.cause = cause


class Breaker:
    """Calls a dependency within a time limit, or skips it while it is known to be dead.

    The dependency's client is told how much time is left, and passes it on where its protocol can.
    After some failures in a row it opens. Then no request waits for the dependency; `run` probes
    it each second, and closes the breaker when a probe succeeds.
    """

    def __init__(self, name: str, *, probe: Callable[[], Awaitable[Any]], metrics: Metrics) -> None:
        self.name = name
        self.failures = 0
        self.last_error = ""
        self._told_why = False
        self._probe = probe
        self._metrics = metrics
        self._metrics.breaker_open.labels(name).set(0)

    @property
    def is_open(self) -> bool:
        """Whether calls are skipped."""
        return self.failures >= FAILURES_TO_OPEN

    async def call(self, make: Callable[[], Awaitable[Answer]], *, timeout_s: float) -> Answer:
        """What the dependency answers, or `DependencyUnavailableError`."""
        if self.is_open or timeout_s <= 0:
            raise self._skipped("open" if self.is_open else "no_time_left")
        spans.begin_call(self.name)
        started = time.perf_counter()
        try:
            with within(timeout_s):
                async with fair_timeout(timeout_s):
                    answer = await make()
        except FAILURES as error:
            raise self._failed(error, started) from error
        self._succeeded()
        self._observe("ok", started)
        return answer

    async def run(self) -> None:
        """Probe at first, which makes the connection, then while open, for ever."""
        await self.try_close()
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            if self.is_open:
                await self.try_close()

    async def try_close(self) -> None:
        """One probe; on success calls go through again."""
        try:
            with within(PROBE_TIMEOUT_S):
                async with fair_timeout(PROBE_TIMEOUT_S):
                    await self._probe()
        except FAILURES as error:
            self._tell_why(error)
            return
        if self.is_open:
            self._metrics.breaker_open.labels(self.name).set(0)
            self._told_why = False
            log.info("dependency is back", dependency=self.name)
        self._succeeded()

    def _tell_why(self, error: Exception) -> None:
        """Once an outage: a probe bears nobody's data, so what it failed with may be said."""
        say = log.warning if self.is_open and not self._told_why else log.debug
        self._told_why = self.is_open
        say("probe failed", dependency=self.name, error=repr(error))

    def _skipped(self, cause: str) -> DependencyUnavailableError:
        self._metrics.dependency_skipped.labels(self.name, cause).inc()
        return DependencyUnavailableError(self.name, cause)

    def _succeeded(self) -> None:
        self.failures = 0
        self.last_error = ""

    def _failed(self, error: Exception, started: float) -> DependencyUnavailableError:
        cause = "timeout" if isinstance(error, TimeoutError) else "error"
        self._observe(cause, started)
        self.failures += 1
        self.last_error = f"{cause}: {error}"[:200]
        if self.failures == FAILURES_TO_OPEN:
            self._metrics.breaker_open.labels(self.name).set(1)
            # Not what it says: of a request's call that may be what the request was about.
            kind = type(error).__name__
            log.warning("dependency is away", dependency=self.name, cause=cause, error=kind)
        return DependencyUnavailableError(self.name, cause)

    def _observe(self, outcome: str, started: float) -> None:
        elapsed = time.perf_counter() - started
        self._metrics.dependency_seconds.labels(self.name, outcome).observe(elapsed)
        spans.end_call(outcome)
