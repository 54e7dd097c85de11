"""The BanditService with a server killed: draws from priors, rewards that may be sent again."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from schemas.topics import BANDIT_UPDATES
from schemas.types import BanditUpdate
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from stack.local import LocalStack
from stores.event_log import read

pytestmark = pytest.mark.e2e

SEGMENT = "tv_is_night"
BACK_WITHIN_S = 10.0


@pytest.fixture
async def channel(servers: LocalStack, address: str) -> AsyncIterator[grpc.aio.Channel]:
    serving = servers.settings.serving
    async with grpc.aio.insecure_channel(f"{serving.host}:{serving.grpc_port}") as opened:
        yield opened


@pytest.fixture
def bandit(channel: grpc.aio.Channel) -> Any:
    return BanditServiceStub(channel)


async def test_the_service_is_healthy(channel: grpc.aio.Channel) -> None:
    stub: Any = HealthStub(channel)
    answer = await stub.Check(HealthCheckRequest(service="freshet.bandit.v1.BanditService"))
    assert answer.status == HealthCheckResponse.SERVING


async def test_without_redis_draws_come_from_priors(bandit: Any, servers: LocalStack) -> None:
    asked = pb.SampleRequest(item_ids=["i00001"], context_segment=SEGMENT)
    assert not (await bandit.Sample(asked)).fallbacks
    servers.take_away("valkey")
    try:
        for _ in range(20):
            answer = await bandit.Sample(asked, timeout=1)
            assert list(answer.fallbacks) == ["posteriors:redis_unavailable"]
    finally:
        await asyncio.to_thread(servers.up, "valkey")
    give_up = time.monotonic() + BACK_WITHIN_S
    while (await bandit.Sample(asked)).fallbacks:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.2)


async def test_without_kafka_a_reward_says_when_to_come_back(
    bandit: Any, servers: LocalStack
) -> None:
    asked = pb.UpdateRequest(
        item_id="away:1", context_segment=SEGMENT, reward=1.0, update_id="without-kafka"
    )
    servers.take_away("kafka")
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bandit.UpdatePosterior(asked)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "send it again with update_id 'without-kafka'" in (refused.value.details() or "")
    finally:
        await asyncio.to_thread(servers.up, "kafka")
    give_up = time.monotonic() + BACK_WITHIN_S
    while not await _taken(bandit, asked):
        assert time.monotonic() < give_up
        await asyncio.sleep(0.2)
    messages = read(servers.settings.kafka.bootstrap, [BANDIT_UPDATES])
    found = [one.record(BanditUpdate).update_id for one in messages]
    assert "without-kafka" in found


async def _taken(bandit: Any, asked: pb.UpdateRequest) -> bool:
    code = await bandit.UpdatePosterior(asked).code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    return code is grpc.StatusCode.OK
