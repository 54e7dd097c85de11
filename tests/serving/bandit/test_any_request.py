"""Whatever is sent, the answer is one that the contract knows."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.admission import admission_of
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.rpc.server import MAX_REQUEST_BYTES, SERVICE
from stores.posteriors import PosteriorReader
from tests.serving.bandit.calling import channel_to, posterior, send_raw, towards
from tests.serving.callers_at_hand import every_kind, guarded
from tests.serving.fuzzing import bounded
from tests.serving.garbage import Garbage, GarbageLog, over_garbage
from tests.serving.pretended import Outside

Code = grpc.StatusCode
READ = {Code.OK, Code.INVALID_ARGUMENT}
WITHOUT_SERVERS = {*READ, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}
AT_THE_DOOR = {*READ, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED}
METHODS = ("UpdatePosterior", "Sample", "GetParameters")
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)

names = st.one_of(
    st.sampled_from(["i", "sku:7", "mobile_us_evening", "x" * 256]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
)
floats = st.one_of(st.floats(-1, 1, width=32), st.floats(width=32))
features: st.SearchStrategy[list[float]] = st.one_of(
    st.builds(list),
    st.lists(st.floats(-1, 1, width=32), min_size=64, max_size=64),
    st.lists(floats, max_size=66),
)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


updates = some_of(
    item_id=names,
    context_segment=names,
    reward=floats,
    context_features=features,
    update_id=names,
    shown_at_ms=INT64,
    previous_reward=floats,
    explored=st.booleans(),
    propensity=st.floats(),
    position=INT32,
    user_id=names,
    request_id=names,
    action=names,
).map(lambda fields: pb.UpdateRequest(**fields))

draws = some_of(
    item_ids=st.lists(names, max_size=5),
    context_segment=names,
    context_features=features,
    num_samples=st.one_of(st.integers(0, 100), INT32),
    policy=st.one_of(st.integers(0, 4), INT32),
    seed=st.integers(0, 2**64 - 1),
).map(lambda fields: pb.SampleRequest(**fields))

asked = some_of(
    item_ids=st.lists(names, max_size=5),
    context_segment=names,
    include_contextual=st.booleans(),
).map(lambda fields: pb.ParameterRequest(**fields))

messages = st.one_of(
    st.tuples(st.just("UpdatePosterior"), updates.map(lambda one: one.SerializeToString())),
    st.tuples(st.just("Sample"), draws.map(lambda one: one.SerializeToString())),
    st.tuples(st.just("GetParameters"), asked.map(lambda one: one.SerializeToString())),
)
# Also a message with a bit turned over, or of another call.
spoilt = st.tuples(messages, st.integers(0, 2**16), st.integers(1, 255)).map(
    lambda drawn: (drawn[0][0], _turned(drawn[0][1], drawn[1], drawn[2]))
)
requests = st.one_of(
    messages,
    spoilt,
    st.tuples(st.sampled_from(METHODS), messages.map(lambda one: one[1])),
    st.tuples(st.sampled_from(METHODS), st.binary(max_size=200)),
)

# What HTTP/2 lets through: names in lower case, printable values; any bytes under a name in -bin.
keys = st.from_regex(r"[a-z0-9_.-]{1,30}", fullmatch=True).filter(
    lambda key: not key.startswith("grpc-") and not key.endswith("-bin")
)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)
metadata = st.lists(
    st.one_of(
        st.tuples(keys, printable),
        st.tuples(keys.map(lambda key: f"{key}-bin"), st.binary(max_size=200)),
        st.tuples(st.just("authorization"), printable | printable.map(lambda one: f"Bearer {one}")),
        st.sampled_from(
            [("authorization", one["Authorization"]) for one in every_kind().values() if one]
        ),
        st.just(("x-request-id", "mine")),
    ),
    max_size=5,
)


def _turned(raw: bytes, place: int, bits: int) -> bytes:
    if not raw:
        return bytes([bits])
    place %= len(raw)
    return raw[:place] + bytes([raw[place] ^ bits]) + raw[place + 1 :]


def outside() -> Outside:
    made = Outside()
    made.posteriors.known["i"] = posterior(3.0, 1.0, weights=towards(0), variances=towards(0))
    return made


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    async with channel_to(outside()) as opened:
        yield opened


async def code_of(
    channel: grpc.aio.Channel,
    method: str,
    raw: bytes,
    sent: Sequence[tuple[str, str | bytes]] = (),
) -> grpc.StatusCode:
    """How a call ended; every answer of ours has an id."""
    call = cast("Any", channel).unary_unary(f"/{SERVICE}/{method}")(raw, metadata=tuple(sent))
    code: grpc.StatusCode = await call.code()
    if code is not Code.RESOURCE_EXHAUSTED:
        assert "x-request-id" in dict(tuple(await call.trailing_metadata())), await call.details()
    return code


@bounded(300)
@given(request=requests)
async def test_no_request_makes_the_service_fail(
    channel: grpc.aio.Channel, request: tuple[str, bytes]
) -> None:
    assert await code_of(channel, *request) in READ


@bounded(100)
@given(request=requests)
async def test_without_servers_no_request_makes_it_fail(
    away: grpc.aio.Channel, request: tuple[str, bytes]
) -> None:
    assert await code_of(away, *request) in WITHOUT_SERVERS


@pytest.fixture
async def away() -> AsyncIterator[grpc.aio.Channel]:
    made = outside()
    made.posteriors.away = made.event_log.away = True
    async with channel_to(made) as opened:
        yield opened


@bounded(150)
@given(request=requests, seed=st.integers(0, 2**32))
async def test_servers_that_answer_garbage_make_nothing_fail(
    spoiled: tuple[grpc.aio.Channel, Garbage], request: tuple[str, bytes], seed: int
) -> None:
    channel, garbage = spoiled
    garbage.chance.seed(seed)
    assert await code_of(channel, *request) in WITHOUT_SERVERS


@pytest.fixture
async def spoiled() -> AsyncIterator[tuple[grpc.aio.Channel, Garbage]]:
    made, garbage = outside(), Garbage(Random(0))
    made.posteriors = over_garbage(PosteriorReader("redis://nowhere:1", timeout_ms=100), garbage)
    made.event_log = cast("Any", GarbageLog(garbage))
    async with channel_to(made) as opened:
        yield opened, garbage


@bounded(150)
@given(request=requests, sent=metadata)
async def test_no_metadata_makes_the_door_fail(
    closed: grpc.aio.Channel, request: tuple[str, bytes], sent: list[tuple[str, str | bytes]]
) -> None:
    assert await code_of(closed, *request, sent) in AT_THE_DOOR


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with channel_to(outside(), admission=admission_of(guarded(tmp_path))) as opened:
        yield opened


@bounded(20)
@given(method=st.sampled_from(METHODS), over=st.integers(-2, 2), seed=st.integers(0, 2**32))
async def test_a_huge_message_is_read_or_refused_and_the_next_is_answered(
    channel: grpc.aio.Channel, method: str, over: int, seed: int
) -> None:
    size = MAX_REQUEST_BYTES + over
    told = READ if over <= 0 else {Code.RESOURCE_EXHAUSTED}
    assert await code_of(channel, method, random.Random(seed).randbytes(size)) in told
    one = pb.SampleRequest(item_ids=["i"], context_segment="s").SerializeToString()
    assert await send_raw(channel, "Sample", one)
