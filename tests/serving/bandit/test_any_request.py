"""Whatever is sent, the answer is one that the contract knows."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from tests.serving.bandit.calling import channel_to, posterior, send_raw, towards
from tests.serving.pretended import Outside

EXPECTED = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
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

requests = st.one_of(
    st.tuples(st.just("UpdatePosterior"), updates.map(lambda one: one.SerializeToString())),
    st.tuples(st.just("Sample"), draws.map(lambda one: one.SerializeToString())),
    st.tuples(st.just("GetParameters"), asked.map(lambda one: one.SerializeToString())),
    st.tuples(
        st.sampled_from(["UpdatePosterior", "Sample", "GetParameters"]), st.binary(max_size=200)
    ),
)


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    outside = Outside()
    outside.posteriors.known["i"] = posterior(3.0, 1.0, weights=towards(0), variances=towards(0))
    async with channel_to(outside) as opened:
        yield opened


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=requests)
async def test_no_request_makes_the_service_fail(
    channel: grpc.aio.Channel, request: tuple[str, bytes]
) -> None:
    method, raw = request
    call = send_raw(channel, method, raw)
    assert await call.code() in EXPECTED, await call.details()
