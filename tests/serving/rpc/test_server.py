import asyncio
import logging
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from serving.rpc.server import SERVICE, PortTakenError, listening
from settings import Settings
from settings.model import RedisSettings
from tests.serving.bandit.calling import (
    HOST,
    OPEN,
    SEGMENT,
    calling,
    channel_to,
    details_of,
    send_raw,
    under_way,
)
from tests.serving.pretended import Outside, count_of

ASKED = pb.SampleRequest(item_ids=["i"], context_segment=SEGMENT)


def stub(kind: type[Any], channel: grpc.aio.Channel) -> Any:
    """The stubs' types are those of callers that don't await."""
    return kind(channel)


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_health_answers_for_the_server_and_its_service(outside: Outside, name: str) -> None:
    async with channel_to(outside) as channel:
        answer = await stub(HealthStub, channel).Check(HealthCheckRequest(service=name))
    assert answer.status == HealthCheckResponse.SERVING


async def test_health_knows_no_other_service(outside: Outside) -> None:
    async with channel_to(outside) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub(HealthStub, channel).Check(HealthCheckRequest(service="other"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services_and_gives_the_contract(outside: Outside) -> None:
    asked = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    async with channel_to(outside) as channel:
        stream = stub(ServerReflectionStub, channel).ServerReflectionInfo(iter(asked))
        listed, described = [answer async for answer in stream]
    names = {one.name for one in listed.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    (file,) = described.file_descriptor_response.file_descriptor_proto
    assert file == pb.DESCRIPTOR.serialized_pb


async def test_a_port_that_is_taken_is_named(outside: Outside) -> None:
    bandit = outside.service().bandit
    async with listening(
        bandit, host=HOST, port=0, admission=OPEN, metrics=outside.metrics
    ) as port:
        with pytest.raises(PortTakenError, match=rf"{HOST}:{port}; .*serving.grpc_port"):
            async with listening(
                bandit, host=HOST, port=port, admission=OPEN, metrics=outside.metrics
            ):
                pass


async def test_each_answer_has_an_id_and_is_measured(outside: Outside) -> None:
    async with calling(outside) as bandit:
        ids = set()
        for _ in range(2):
            call = bandit.Sample(ASKED)
            await call
            ids.add(dict(tuple(await call.trailing_metadata()))["x-request-id"])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bandit.Sample(pb.SampleRequest())
    trailing = dict(tuple(refused.value.trailing_metadata()))
    assert details_of(refused.value)["RequestInfo"].request_id == trailing["x-request-id"]
    assert len({*ids, trailing["x-request-id"]}) == 3
    for code, count in (("OK", 2), ("INVALID_ARGUMENT", 1)):
        seen = count_of(outside.metrics, "freshet_grpc_seconds_count", method="Sample", code=code)
        assert seen == count
    assert count_of(outside.metrics, "freshet_errors_total", code="invalid_value") == 1


@pytest.mark.parametrize("raw", [b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\xff"])
async def test_bytes_that_are_no_message_are_refused_as_such(outside: Outside, raw: bytes) -> None:
    async with channel_to(outside) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await send_raw(channel, "Sample", raw)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "the message can't be read" in (refused.value.details() or "")


async def test_a_message_that_is_too_large_is_refused(outside: Outside) -> None:
    large = pb.SampleRequest(item_ids=["i" * 300_000], context_segment=SEGMENT)
    async with calling(outside) as bandit:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bandit.Sample(large)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "262144" in (refused.value.details() or "")


async def test_a_method_that_is_not_there_is_refused(outside: Outside) -> None:
    async with channel_to(outside) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await send_raw(channel, "Forget", b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_fault_tells_nothing_of_the_inside(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("of the inside")

    outside.posteriors.many = broken  # type: ignore[assignment]
    with caplog.at_level(logging.ERROR):
        async with calling(outside) as bandit:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await bandit.Sample(ASKED)
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "inside" not in (refused.value.details() or "")
    assert "x-request-id" in dict(tuple(refused.value.trailing_metadata()))
    assert count_of(outside.metrics, "freshet_errors_total", code="internal") == 1


async def test_a_call_that_runs_may_end_when_the_server_is_stopped(outside: Outside) -> None:
    outside.settings = Settings(redis=RedisSettings(timeout_ms=5_000))
    outside.posteriors.delay_s = 0.5
    bandit = outside.service().bandit
    async with listening(
        bandit, host=HOST, port=0, admission=OPEN, metrics=outside.metrics
    ) as port:
        channel = grpc.aio.insecure_channel(f"{HOST}:{port}")
        call = asyncio.ensure_future(_sample(channel))
        await under_way(outside)
    try:
        answer = await call
        assert (len(answer.samples), list(answer.fallbacks)) == (1, [])
    finally:
        await channel.close()


async def _sample(channel: grpc.aio.Channel) -> pb.SampleResponse:
    answer: pb.SampleResponse = await stub(BanditServiceStub, channel).Sample(ASKED)
    return answer
