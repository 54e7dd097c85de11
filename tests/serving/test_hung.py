"""Servers that hang: what is left to them ends in time, and leaves nothing behind."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.collections import ITEM_DIM
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from serving.assembly import assemble
from serving.breaker import FAILURES_TO_OPEN, Breaker, DependencyUnavailableError
from serving.clients import opened
from serving.metrics import Metrics
from serving.model_calls import ModelUnavailableError
from serving.ranker import ONE_ROW, Ranker
from serving.requests import FeedbackRequest, PersonalizeRequest
from settings import Settings
from stores.errors import LogUnavailable, StoreUnavailable
from stores.event_log import EventLog
from stores.feedback_memory import FeedbackMemory
from stores.online import OnlineReader
from stores.time_left import time_left, within
from stores.vectors import VectorReader
from tests.serving.hung import Hung, HungCalls, hung, hung_calls
from tests.serving.pretended import NOW_MS, shop

REQUESTS = 200
VECTOR = np.eye(1, ITEM_DIM, dtype=np.float32)[0]
# A connection that was given up is closed by the loop's next turns, not at once.
SOON_S = 5.0

Call = Callable[[], Awaitable[Any]]


@pytest.fixture
async def server() -> AsyncIterator[Hung]:
    async with hung() as one:
        yield one


@pytest.fixture
async def calls() -> AsyncIterator[HungCalls]:
    async with hung_calls() as one:
        yield one


async def soon(holds: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + SOON_S
    while not holds() and time.monotonic() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return holds()


async def given_up(call: Call, *, after_s: float) -> str:
    """How a call ended that somebody stopped waiting for."""
    try:
        async with asyncio.timeout(after_s):
            await call()
    except (TimeoutError, StoreUnavailable, ModelUnavailableError) as error:
        return type(error).__name__
    return "answered"


async def storm(call: Call, *, after_s: float) -> None:
    ends = await asyncio.gather(*(given_up(call, after_s=after_s) for _ in range(REQUESTS)))
    assert "answered" not in ends


async def begun_and_given_up(call: Call, calls: HungCalls) -> None:
    """Calls that the server works at are cancelled there when nobody waits for them any more."""
    waiting = [asyncio.create_task(one_of(call)) for _ in range(REQUESTS)]
    assert await soon(lambda: calls.under_way == REQUESTS)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await soon(lambda: calls.under_way == 0)


async def one_of(call: Call) -> Any:
    return await call()


async def test_calls_to_a_redis_that_hangs_keep_no_connection(server: Hung) -> None:
    before = len(asyncio.all_tasks())
    async with OnlineReader(f"redis://127.0.0.1:{server.port}", timeout_ms=100) as online:
        # Given up from outside, and by the client itself.
        await storm(lambda: online.user("u1"), after_s=0.05)
        await storm(lambda: online.user("u1"), after_s=1.0)
        assert 0 < server.most <= OnlineReader.CONNECTIONS
        assert await soon(lambda: server.open == 0)
        assert await soon(lambda: len(asyncio.all_tasks()) <= before)


async def test_calls_to_a_milvus_that_hangs_end_at_the_server_too(calls: HungCalls) -> None:
    async with VectorReader(f"http://127.0.0.1:{calls.port}", timeout_ms=60_000) as vectors:
        await begun_and_given_up(lambda: vectors.search_items(VECTOR, 1), calls)


async def test_calls_to_a_triton_that_hangs_end_at_the_server_too(calls: HungCalls) -> None:
    ranker = Ranker(f"127.0.0.1:{calls.port}")
    await begun_and_given_up(lambda: ranker.rank(ONE_ROW), calls)
    await ranker.close()


async def test_a_grpc_server_that_says_nothing_at_all_gets_one_connection(server: Hung) -> None:
    before = len(asyncio.all_tasks())
    ranker = Ranker(f"127.0.0.1:{server.port}")
    async with VectorReader(f"http://127.0.0.1:{server.port}", timeout_ms=100) as vectors:
        await storm(lambda: vectors.search_items(VECTOR, 1), after_s=0.3)
        await storm(lambda: ranker.rank(ONE_ROW), after_s=0.3)
        assert server.most <= 4
        assert await soon(lambda: len(asyncio.all_tasks()) <= before + 2)
    await ranker.close()


async def test_behind_a_breaker_few_calls_reach_what_hangs(calls: HungCalls) -> None:
    ranker = Ranker(f"127.0.0.1:{calls.port}")
    breaker = Breaker("triton", probe=ranker.probe, metrics=Metrics())
    for _ in range(REQUESTS):
        with pytest.raises(DependencyUnavailableError):
            await breaker.call(lambda: ranker.rank(ONE_ROW), timeout_s=0.1)
    await ranker.close()
    assert breaker.is_open
    assert len(calls.seconds_left) == FAILURES_TO_OPEN


async def test_what_is_left_of_the_time_is_told_to_the_server(calls: HungCalls) -> None:
    ranker = Ranker(f"127.0.0.1:{calls.port}")
    breaker = Breaker("triton", probe=ranker.probe, metrics=Metrics())
    async with VectorReader(f"http://127.0.0.1:{calls.port}", timeout_ms=2_000) as vectors:
        for call in (lambda: ranker.rank(ONE_ROW), lambda: vectors.search_items(VECTOR, 1)):
            with pytest.raises(DependencyUnavailableError):
                await breaker.call(call, timeout_s=0.4)
    await ranker.close()
    assert [left is not None and 0.0 < left <= 0.41 for left in calls.seconds_left] == [True, True]


async def test_an_inner_limit_never_outlives_the_outer_one() -> None:
    assert time_left() is None
    with within(10.0):
        with within(0.2):
            assert (await asyncio.create_task(left())) <= 0.2
        with within(60.0):
            assert 9.0 < (await left()) <= 10.0
    with within(-1.0):
        assert await left() == 0.0
    assert time_left(at_most_s=3.0) == 3.0


async def left() -> float:
    told = time_left()
    assert told is not None
    return told


async def test_a_kafka_that_hangs_takes_no_thread_from_others(server: Hung) -> None:
    log = EventLog(f"127.0.0.1:{server.port}", deadline_s=0.5)
    waiting = [asyncio.create_task(given_up(lambda: append(log), after_s=2.0)) for _ in range(50)]
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    await asyncio.to_thread(lambda: None)
    assert time.perf_counter() - started < 0.2
    assert set(await asyncio.gather(*waiting)) == {"LogUnavailable"}
    await asyncio.to_thread(log.close)


async def append(log: EventLog) -> None:
    event = UserEvent(
        event_id="e", user_id="u1", event_type="click", item_id="a", timestamp_ms=NOW_MS
    )
    await log.append(USER_EVENTS, "u1", event)


async def test_a_kafka_that_hangs_fails_its_probe_though_it_lets_connect(server: Hung) -> None:
    log = EventLog(f"127.0.0.1:{server.port}", deadline_s=0.3)
    with pytest.raises(LogUnavailable, match="user-events"):
        await log.probe(USER_EVENTS)
    assert server.taken > 0
    await asyncio.to_thread(log.close)


async def test_feedback_memory_that_hangs_is_left_in_time(server: Hung) -> None:
    async with FeedbackMemory(f"redis://127.0.0.1:{server.port}", timeout_ms=100) as memory:
        started = time.perf_counter()
        with within(0.05), pytest.raises(StoreUnavailable):
            await memory.recall([], user_id="u1", idempotency_key=None)
        assert time.perf_counter() - started < 0.1


def settings_for(server: Hung, directory: Path) -> Settings:
    at = f"127.0.0.1:{server.port}"
    return Settings.model_validate(
        {
            "data_dir": directory,
            "kafka": {"external": at},
            "redis": {"external": f"redis://{at}"},
            "milvus": {"external": f"http://{at}"},
            "triton": {"external": at},
        }
    )


async def test_with_everything_hung_every_request_is_answered_in_time_and_nothing_piles_up(
    server: Hung, tmp_path: Path
) -> None:
    settings = settings_for(server, tmp_path)
    async with opened(settings) as clients:
        service = assemble(clients, settings, Metrics())
        service.catalog.apply(shop(), now_ms=NOW_MS)
        before = len(asyncio.all_tasks())
        took = await waves(service, REQUESTS // 2)
        tracemalloc.start()
        settled, _ = tracemalloc.get_traced_memory()
        took += await waves(service, REQUESTS // 2)
        grown = tracemalloc.get_traced_memory()[0] - settled
        tracemalloc.stop()
        assert max(took) < settings.serving.deadline_ms / 1000 + 0.3
        assert [one.is_open for one in (service.breakers.redis, service.breakers.kafka)] == [
            True,
            True,
        ]
        assert grown < 2**20
        assert server.most <= OnlineReader.CONNECTIONS
        # Each connection that is left has a task of the listener's.
        assert await soon(lambda: len(asyncio.all_tasks()) <= before + server.open)
        assert service.kept is not None
        assert await service.kept.waiting() == REQUESTS


async def waves(service: Any, count: int) -> list[float]:
    """Lists and feedback, ten of each at a time."""
    took: list[float] = []

    async def timed(call: Awaitable[Any]) -> None:
        started = time.perf_counter()
        await call
        took.append(time.perf_counter() - started)

    for first in range(0, count, 10):
        numbers = [f"u{first + number}" for number in range(10)]
        await asyncio.gather(
            *(timed(service.pipeline.personalize(listed(one), request_id=one)) for one in numbers),
            *(timed(service.intake.accept(told(one), idempotency_key=None)) for one in numbers),
        )
    return took


def listed(user_id: str) -> PersonalizeRequest:
    return PersonalizeRequest.model_validate({"user_id": user_id})


def told(user_id: str) -> FeedbackRequest:
    return FeedbackRequest.model_validate(
        {"user_id": user_id, "feedback": [{"item_id": "mug-0", "action": "click"}]}
    )
