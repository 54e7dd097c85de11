"""The service as a process has it: on its own loop, with no server outside."""

import asyncio
from typing import Any

import grpc
import uvloop

from serving.app import create_app
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from settings import Settings
from stack.ports import free_ports, is_free

ASKED = pb.SampleRequest(item_ids=["i"], context_segment="mobile_us_evening", seed=1)


def test_grpc_answers_for_as_long_as_the_application_lives() -> None:
    settings = free_ports(Settings())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answer = runner.run(_lived(settings))
    assert list(answer.fallbacks) == ["posteriors:redis_unavailable"]
    assert answer.samples[0].expected_value == 0.5
    assert is_free(settings.serving.grpc_port)


async def _lived(settings: Settings) -> pb.SampleResponse:
    app = create_app(settings)
    address = f"{settings.serving.host}:{settings.serving.grpc_port}"
    async with app.router.lifespan_context(app), grpc.aio.insecure_channel(address) as channel:
        stub: Any = BanditServiceStub(channel)
        answer: pb.SampleResponse = await stub.Sample(ASKED)
    return answer
