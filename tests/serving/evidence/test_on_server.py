"""From an answer to its replay and its explanation, through a real online store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest

from serving.app import create_app
from serving.evidence.reading import NotKeptError, recorded
from serving.evidence.retelling import replay, tell
from settings import Settings, load_settings
from stack.local import LocalStack
from stores.redis_server import connect
from stores.traces import TraceStore
from tests.serving.evidence.answered import EAGER, Answered, wide_shop

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("traces"))
    try:
        local.up("valkey")
        yield local.settings.redis.url
    finally:
        local.down()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[TraceStore]:
    with connect(redis_url) as client:
        client.flushall()
        for one in wide_shop():
            if one.vector is not None:
                client.hset(f"item:{one.item_id}", "vector", one.vector.astype("<f4").tobytes())
    async with TraceStore(redis_url, timeout_ms=2_000) as opened:
        yield opened


@pytest.fixture
def answered(store: TraceStore) -> Answered:
    """A service whose traces go to the real store."""
    made = Answered()
    made.service.evidence._store = store
    explainer = replace(made.service.explainer, store=store)
    made.service = replace(made.service, explainer=explainer)
    return made


async def test_an_answer_comes_out_again_and_is_explained(
    answered: Answered, store: TraceStore
) -> None:
    sent = [
        await answered.ask("warm", EAGER, request_id="r1"),
        await answered.ask("warm", EAGER, request_id="r2", shape="recommendations"),
    ]
    for request_id, body in zip(("r1", "r2"), sent, strict=True):
        again = await replay(await recorded(store, request_id))
        assert (again.body, again.same) == (body, True)
    app = create_app(Settings())
    app.state.service = answered.service
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        told = await client.post("/v1/explain", json={"user_id": "warm", "item_id": "i8"})
    assert (told.json()["basis"], told.json()["request_id"]) == ("answer", "r2")


async def test_an_item_that_was_embedded_anew_is_named(
    answered: Answered, store: TraceStore, redis_url: str
) -> None:
    await answered.ask("warm", EAGER)
    with connect(redis_url) as client:
        client.hset("item:i8", "vector", np.ones(512, "<f4").tobytes())
        client.delete("item:i15")
    told = await tell(await recorded(store, "r1"))
    assert set(told.changed) == {"i8", "i15"}


async def test_what_is_over_says_so(answered: Answered, store: TraceStore, redis_url: str) -> None:
    await answered.ask("warm", EAGER)
    with connect(redis_url) as client:
        client.delete("trace:ranking:r1")
    with pytest.raises(NotKeptError, match="the trace of ranking r1 is not kept"):
        await recorded(store, "r1")
    with pytest.raises(NotKeptError, match="the trace of answer r9 is not kept"):
        await recorded(store, "r9")


async def test_many_at_once_are_written_in_a_few_round_trips(
    answered: Answered, store: TraceStore
) -> None:
    writing = asyncio.create_task(answered.service.evidence.run())
    await asyncio.gather(*(answered.ask("warm", request_id=f"r{n}") for n in range(20)))
    await answered.service.evidence.drain(timeout_s=5)
    writing.cancel()
    assert len(await store.answers_of("warm")) == 20
