"""Traces on a real server: what is written, for how long, and what goes with its user."""

from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import redis

from schemas.redis_keys import TRACES
from stores.errors import StoreUnavailable
from stores.online import OnlineWriter
from stores.traces import KeptAnswer, TraceStore
from stores.user_keys import UserKeys
from tests.stores.records import item_snapshot, user_snapshot

pytestmark = pytest.mark.e2e


@pytest.fixture
async def traces(redis_url: str) -> AsyncIterator[TraceStore]:
    async with TraceStore(redis_url, timeout_ms=2_000) as store:
        yield store


def kept(number: int, **fields: object) -> KeptAnswer:
    made = KeptAnswer(
        request_id=f"r{number}",
        user_id="u",
        at_ms=1_000 + number,
        state_ms=900,
        answer=f"answer {number}".encode(),
        ranking_key=f"r{number}",
        ranking=f"ranking {number}".encode(),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


async def write(traces: TraceStore, *answers: KeptAnswer) -> list[bool]:
    return await traces.write(answers, lifetime_s=900, ranking_s=1_080)


def names(client: "redis.Redis") -> set[str]:
    return {name.decode() for name in client.scan_iter("trace*")}


async def test_what_is_written_is_read_until_its_time_is_over(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    assert await write(traces, kept(1), kept(2)) == [True, True]
    assert (await traces.answer("r1"), await traces.ranking("r2")) == (b"answer 1", b"ranking 2")
    assert await traces.answers_of("u") == [b"answer 2", b"answer 1"]
    lifetimes = {name: client.ttl(name) for name in sorted(names(client))}
    assert lifetimes == pytest.approx(
        {
            "trace:answer:r1": 900,
            "trace:answer:r2": 900,
            "trace:ranking:r1": 1_080,
            "trace:ranking:r2": 1_080,
            "traces:u": 1_080,
        },
        abs=2,
    )


async def test_what_is_not_there_is_none(traces: TraceStore, client: "redis.Redis") -> None:
    assert (await traces.answer("r"), await traces.ranking("r")) == (None, None)
    assert await traces.answers_of("nobody") == []
    assert names(client) == set()


async def test_one_whose_time_is_over_is_left_out(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    await write(traces, kept(1), kept(2))
    client.delete("trace:answer:r2")
    assert await traces.answers_of("u") == [b"answer 1"]


async def test_a_ranking_is_written_once_and_known_by_all_its_answers(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    await write(traces, kept(1), kept(2, ranking_key="r1", ranking=b""))
    assert names(client) == {"trace:answer:r1", "trace:answer:r2", "trace:ranking:r1", "traces:u"}
    assert client.zscore("traces:u", "trace:ranking:r1") == 1_002


async def test_of_a_user_the_latest_stay_and_the_others_go_with_their_keys(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    most = TRACES.max_size or 0
    await write(traces, *(kept(number) for number in range(most)))
    assert client.zcard("traces:u") == most
    assert len(names(client)) == most + 1
    assert (await traces.answer("r0"), await traces.answer(f"r{most // 2}")) == (
        None,
        f"answer {most // 2}".encode(),
    )


async def test_what_is_long_over_leaves_the_users_list(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    await write(traces, kept(1), kept(2, at_ms=1_001 + 1_080_000))
    assert client.zrange("traces:u", 0, -1) == [b"trace:answer:r2", b"trace:ranking:r2"]


@pytest.mark.parametrize("purge", [{"erased": True}, {"consent": False}])
async def test_a_users_traces_go_with_the_user(
    traces: TraceStore,
    client: "redis.Redis",
    writer: OnlineWriter,
    redis_url: str,
    purge: dict[str, bool],
) -> None:
    writer.write_users([user_snapshot("u", 1)])
    await write(traces, kept(1), kept(2), kept(3, user_id="other"))
    async with UserKeys(redis_url, timeout_ms=2_000) as keys:
        assert "traces:u" in {key.name for key in await keys.read("u")}
        forgotten = user_snapshot("u", 2, **purge)
        writer.write_users([forgotten])
        assert "traces:u" not in {key.name for key in await keys.read("u")}
    assert names(client) == {"trace:answer:r3", "trace:ranking:r3", "traces:other"}
    assert [await traces.answer("r1"), await traces.ranking("r2")] == [None, None]


async def test_what_comes_late_of_who_was_forgotten_is_not_written(
    traces: TraceStore, client: "redis.Redis", writer: OnlineWriter
) -> None:
    forgotten = replace(user_snapshot("u", 2), erased=True)
    writer.write_users([forgotten])
    at_ms = forgotten.log_time_ms
    late = kept(1, state_ms=at_ms)
    shared = kept(2, state_ms=at_ms, own=False)
    assert await write(traces, late, shared) == [False, False]
    # What all share is of nobody, and other answers were made of it.
    assert names(client) == {"trace:ranking:r2"}
    assert await write(traces, kept(3, state_ms=at_ms + 1)) == [True]


async def test_of_what_all_share_the_user_has_the_answer_alone(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    await write(traces, kept(1, own=False))
    assert client.zrange("traces:u", 0, -1) == [b"trace:answer:r1"]


async def test_a_server_that_lost_its_scripts_is_told_them_again(
    traces: TraceStore, client: "redis.Redis"
) -> None:
    await write(traces, kept(1))
    client.script_flush()
    assert await write(traces, kept(2), kept(3)) == [True, True]


async def test_vectors_are_those_that_items_have_now(
    traces: TraceStore, writer: OnlineWriter
) -> None:
    vector = np.arange(512, dtype="<f4")
    vector /= np.linalg.norm(vector)
    writer.write_items([replace(item_snapshot("i", 1), vector=vector.tobytes())])
    found = await traces.vectors(["i", "nothing"])
    assert found.keys() == {"i"}
    assert np.array_equal(found["i"], vector)


async def test_a_store_that_is_away_is_named() -> None:
    async with TraceStore("redis://127.0.0.1:9/0", timeout_ms=500) as store:
        with pytest.raises(StoreUnavailable, match="Redis is not available"):
            await write(store, kept(1))
