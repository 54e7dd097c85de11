"""Reads that are asked a second time."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from serving.hedge import LATEST, Hedge
from serving.hedged import HedgedOnline, HedgedScores, HedgedVectors, hedged
from serving.metrics import Metrics
from serving.requests import PersonalizeRequest
from settings import Settings
from stores.errors import StoreUnavailable
from tests.serving.pretended import Outside, count_of, known_user

USUAL_S = 0.001
LATE_S = 0.5


@dataclass
class Server:
    """Answers by what it was told to do, in turn; then at once."""

    delays: list[float] = field(default_factory=list)
    failing: set[int] = field(default_factory=set)
    calls: int = 0
    ended: int = 0

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        delay_s = self.delays.pop(0) if self.delays else USUAL_S
        try:
            await asyncio.sleep(delay_s)
        finally:
            self.ended += 1
        if number in self.failing:
            raise StoreUnavailable("Redis", "it is away")
        return number


async def hedge_that_knows(server: Server, *, share: float = 0.05) -> tuple[Hedge, Metrics]:
    """One that has seen so many usual answers that it knows which are late."""
    metrics = Metrics()
    hedge = Hedge("redis", share=share, metrics=metrics, clock=time.perf_counter)
    for _ in range(10):
        await asyncio.gather(*(hedge.call(server) for _ in range(LATEST // 10)))
    server.calls = server.ended = 0
    return hedge, metrics


def told(metrics: Metrics, outcome: str) -> float:
    return count_of(metrics, "freshet_hedges_total", kind="redis", outcome=outcome)


async def test_a_late_call_is_made_again_and_the_first_answer_counts() -> None:
    server = Server()
    hedge, metrics = await hedge_that_knows(server)
    server.delays = [LATE_S]
    started = time.perf_counter()
    assert await hedge.call(server) == 2
    assert time.perf_counter() - started < LATE_S / 2
    await asyncio.sleep(0)
    assert (server.calls, server.ended) == (2, 2)
    assert told(metrics, "won") == 1


async def test_the_first_may_still_win() -> None:
    server = Server()
    hedge, metrics = await hedge_that_knows(server)
    server.delays = [0.1, LATE_S]
    assert await hedge.call(server) == 1
    assert told(metrics, "lost") == 1


async def test_calls_in_time_are_made_once() -> None:
    server = Server()
    hedge, _ = await hedge_that_knows(server)
    assert await hedge.call(server) == 1
    assert server.calls == 1


async def test_when_all_are_late_few_are_made_twice() -> None:
    """A server that has slowed down must not get twice the load."""
    server = Server()
    hedge, metrics = await hedge_that_knows(server)
    server.delays = [0.05] * 400
    await asyncio.gather(*(hedge.call(server) for _ in range(200)))
    assert told(metrics, "won") + told(metrics, "lost") <= 5 + 0.05 * 200


async def test_a_failure_of_one_says_nothing_while_the_other_may_answer() -> None:
    server = Server()
    hedge, _ = await hedge_that_knows(server)
    server.delays, server.failing = [0.1, 0.01], {2}
    assert await hedge.call(server) == 1


async def test_a_failure_of_both_is_told() -> None:
    server = Server()
    hedge, _ = await hedge_that_knows(server)
    server.delays, server.failing = [0.1, 0.01], {1, 2}
    with pytest.raises(StoreUnavailable):
        await hedge.call(server)


async def test_who_gives_up_waits_for_neither() -> None:
    server = Server()
    hedge, _ = await hedge_that_knows(server)
    server.delays = [LATE_S, LATE_S]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await hedge.call(server)
    await asyncio.sleep(0)
    assert server.ended == server.calls == 2


async def test_without_a_share_nothing_is_asked_twice() -> None:
    server = Server()
    hedge, _ = await hedge_that_knows(server, share=0.0)
    server.delays = [0.1]
    assert await hedge.call(server) == 1
    assert server.calls == 1


async def test_a_list_goes_through_hedged_clients_where_a_share_is_set() -> None:
    outside = Outside(
        settings=Settings.model_validate({"serving": {"kept_feedback": 0, "hedge_share": 0.05}})
    )
    outside.online.users["u1"] = known_user()
    service = outside.service()
    body, _ = await service.pipeline.personalize(PersonalizeRequest(user_id="u1"), request_id="r1")
    assert isinstance(service.similar.vectors, HedgedVectors)
    assert body["metadata"]["fallbacks"] == []


def test_only_a_share_makes_a_difference() -> None:
    clients = Outside().clients()
    assert hedged(clients, share=0.0, metrics=Metrics()) is clients
    told = hedged(clients, share=0.05, metrics=Metrics())
    kinds = (HedgedOnline, HedgedVectors, HedgedScores)
    for one, kind in zip((told.online, told.vectors, told.ranker), kinds, strict=True):
        assert isinstance(one, kind)
