import asyncio

import pytest
from structlog.testing import capture_logs

from serving.breaker import FAILURES_TO_OPEN, Breaker, DependencyUnavailableError
from serving.metrics import Metrics
from stores.errors import StoreUnavailable
from tests.serving.pretended import count_of


class Server:
    def __init__(self) -> None:
        self.away = False
        self.delay_s = 0.0
        self.calls = 0

    async def answer(self) -> str:
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        if self.away:
            raise StoreUnavailable("Redis", "it is away")
        return "here"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def breaker(server: Server, metrics: Metrics) -> Breaker:
    return Breaker("redis", probe=server.answer, metrics=metrics)


async def fail(breaker: Breaker, server: Server, times: int) -> None:
    for _ in range(times):
        with pytest.raises(DependencyUnavailableError):
            await breaker.call(server.answer, timeout_s=1)


async def test_an_answer_passes_through(breaker: Breaker, server: Server) -> None:
    assert await breaker.call(server.answer, timeout_s=1) == "here"


async def test_failures_in_a_row_open_it_and_calls_are_skipped(
    breaker: Breaker, server: Server, metrics: Metrics
) -> None:
    server.away = True
    await fail(breaker, server, FAILURES_TO_OPEN)
    assert breaker.is_open
    assert breaker.last_error == "error: Redis is not available: it is away"
    assert count_of(metrics, "freshet_breaker_open", dependency="redis") == 1
    with pytest.raises(DependencyUnavailableError, match=r"redis is unavailable \(open\)"):
        await breaker.call(server.answer, timeout_s=1)
    assert server.calls == FAILURES_TO_OPEN


async def test_a_success_between_failures_keeps_it_closed(breaker: Breaker, server: Server) -> None:
    for _ in range(FAILURES_TO_OPEN):
        server.away = True
        await fail(breaker, server, FAILURES_TO_OPEN - 1)
        server.away = False
        await breaker.call(server.answer, timeout_s=1)
    assert not breaker.is_open


async def test_a_slow_answer_is_a_failure(
    breaker: Breaker, server: Server, metrics: Metrics
) -> None:
    server.delay_s = 5
    with pytest.raises(DependencyUnavailableError, match="timeout"):
        await breaker.call(server.answer, timeout_s=0.01)
    assert (
        count_of(
            metrics,
            "freshet_dependency_seconds_count",
            dependency="redis",
            outcome="timeout",
        )
        == 1
    )


async def test_without_time_nothing_is_asked_and_nothing_held_against_it(
    breaker: Breaker, server: Server
) -> None:
    with pytest.raises(DependencyUnavailableError, match="no_time_left"):
        await breaker.call(server.answer, timeout_s=0)
    assert (server.calls, breaker.failures) == (0, 0)


async def test_a_fault_of_the_program_is_not_hidden(breaker: Breaker) -> None:
    async def faulty() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await breaker.call(faulty, timeout_s=1)
    assert breaker.failures == 0


async def test_a_probe_closes_it_when_the_server_is_back(
    breaker: Breaker, server: Server, metrics: Metrics
) -> None:
    server.away = True
    await fail(breaker, server, FAILURES_TO_OPEN)
    await breaker.try_close()
    assert breaker.failures == FAILURES_TO_OPEN
    server.away = False
    await breaker.try_close()
    assert breaker.failures == 0
    assert breaker.last_error == ""
    assert count_of(metrics, "freshet_breaker_open", dependency="redis") == 0
    assert await breaker.call(server.answer, timeout_s=1) == "here"


async def test_why_it_is_open_is_said_once_an_outage_in_the_words_of_a_probe(
    breaker: Breaker, server: Server
) -> None:
    for _ in range(2):
        server.away = True
        with capture_logs() as logged:
            await fail(breaker, server, FAILURES_TO_OPEN)
            await breaker.try_close()
            await breaker.try_close()
            server.away = False
            await breaker.try_close()
        told = [(one["event"], one.get("error")) for one in logged if one["log_level"] != "debug"]
        assert told == [
            ("dependency is away", "StoreUnavailable"),
            ("probe failed", "StoreUnavailable('Redis is not available: it is away')"),
            ("dependency is back", None),
        ]


async def test_calls_that_are_skipped_are_counted_by_their_cause(
    breaker: Breaker, server: Server, metrics: Metrics
) -> None:
    with pytest.raises(DependencyUnavailableError):
        await breaker.call(server.answer, timeout_s=0)
    server.away = True
    await fail(breaker, server, FAILURES_TO_OPEN + 2)
    for cause, times in (("no_time_left", 1), ("open", 2)):
        labels = {"dependency": "redis", "cause": cause}
        assert count_of(metrics, "freshet_dependency_skipped_total", **labels) == times


async def test_it_probes_by_itself_while_open(
    breaker: Breaker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.breaker.PROBE_EVERY_S", 0.01)
    server.away = True
    await fail(breaker, server, FAILURES_TO_OPEN)
    running = asyncio.create_task(breaker.run())
    await asyncio.sleep(0.05)
    assert breaker.failures == FAILURES_TO_OPEN
    server.away = False
    await asyncio.sleep(0.05)
    running.cancel()
    assert breaker.failures == 0


async def test_closed_it_probes_once_and_then_leaves_the_server_alone(
    breaker: Breaker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.breaker.PROBE_EVERY_S", 0.001)
    running = asyncio.create_task(breaker.run())
    await asyncio.sleep(0.03)
    running.cancel()
    assert server.calls == 1
