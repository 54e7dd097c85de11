from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from stores.errors import StoreUnavailable
from stores.feedback_memory import Deed, FeedbackMemory, answer_key

pytestmark = pytest.mark.e2e

CLICK = Deed("u1", "i1", "click")
VIEW = Deed("u1", "i1", "view")


@pytest.fixture
async def memory(redis_url: str) -> AsyncIterator[FeedbackMemory]:
    async with FeedbackMemory(redis_url, timeout_ms=2_000) as opened:
        yield opened


async def test_nothing_is_remembered_at_first(memory: FeedbackMemory) -> None:
    found = await memory.recall([CLICK], user_id="first", idempotency_key="k")
    assert (found.answer, found.requests) == (None, (None,))


async def test_deeds_and_answers_are_remembered_for_their_time(
    memory: FeedbackMemory, client: "redis.Redis"
) -> None:
    await memory.remember(
        [CLICK], user_id="u1", request_id="r1", idempotency_key="k", answer=b"said"
    )
    found = await memory.recall([VIEW, CLICK], user_id="u1", idempotency_key="k")
    assert (found.answer, found.requests) == (b"said", (None, "r1"))
    deed: Any = client.ttl("feedback_dedup:u1:i1:click")
    answer: Any = client.ttl(answer_key("u1", "k"))
    assert 0 < deed <= 60
    assert 86_000 < answer <= 86_400


async def test_without_a_key_no_answer_is_kept_nor_found(memory: FeedbackMemory) -> None:
    await memory.remember(
        [CLICK], user_id="u3", request_id="r1", idempotency_key=None, answer=b"said"
    )
    found = await memory.recall([CLICK], user_id="u3", idempotency_key=None)
    assert found.answer is None


async def test_two_users_with_the_same_key_dont_meet(memory: FeedbackMemory) -> None:
    await memory.remember([], user_id="u4", request_id="", idempotency_key="same", answer=b"4")
    found = await memory.recall([], user_id="u5", idempotency_key="same")
    assert found.answer is None
    assert answer_key("a", "bc") != answer_key("ab", "c")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with FeedbackMemory("redis://127.0.0.1:9", timeout_ms=200) as memory:
        with pytest.raises(StoreUnavailable):
            await memory.recall([CLICK], user_id="u1", idempotency_key=None)
        with pytest.raises(StoreUnavailable):
            await memory.remember(
                [CLICK], user_id="u1", request_id="r", idempotency_key=None, answer=b""
            )


async def test_a_deed_with_an_occasion_is_remembered_for_a_day(
    memory: FeedbackMemory, client: "redis.Redis"
) -> None:
    then, later = Deed("u1", "i1", "click", "minute:1"), Deed("u1", "i1", "click", "minute:2")
    await memory.remember([then], user_id="u1", request_id="", idempotency_key=None, answer=b"")
    found = await memory.recall([then, later, CLICK], user_id="u1", idempotency_key=None)
    assert found.requests[:2] == ("", None)
    left: Any = client.ttl(f"feedback_once:{then.digest}")
    assert 86_000 < left <= 86_400
