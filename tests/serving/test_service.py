"""The service as a process has it: on its own loop, with no server outside."""

import asyncio
import time
from typing import Any

import grpc
import uvloop

from serving.app import create_app
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from serving.requests import PersonalizeRequest
from serving.service import Service
from settings import Settings
from stack.ports import free_ports, is_free
from tests.serving.model_server import ModelServer, model_server
from tests.serving.pretended import NOW_MS, shop

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


async def test_a_model_is_asked_for_as_long_as_the_application_lives() -> None:
    """From probing it at the start to leaving a call alone that is under way at the end."""
    async with model_server() as model:
        app = create_app(_with_a_model(model))
        async with app.router.lifespan_context(app):
            service: Service = app.state.service
            service.catalog.apply(shop(), now_ms=NOW_MS)
            first = await _answered(service, ["mugs"])
            model.delay_s = 30.0
            second = await _answered(service, ["lamps"])
            ending = time.perf_counter()
        assert time.perf_counter() - ending < 10
        # It was let go of, and didn't fail for want of its client.
        assert service.breakers.llm
        assert service.breakers.llm.failures == 0
    assert first["tier"] == "llm"
    assert "reason:llm_slow" in second["fallbacks"]
    assert model.requests[0][2]["max_tokens"] == 1
    assert len(model.asked) == 2


def _with_a_model(model: ModelServer) -> Settings:
    reasoner = model.settings(timeout_ms=3_000, finish_ms=60_000).model_dump()
    given = {"serving": {"kept_feedback": 0, "deadline_ms": 2_000}, "reasoner": reasoner}
    return free_ports(Settings.model_validate(given))


async def _answered(service: Service, categories: list[str]) -> dict[str, Any]:
    asked = {
        "user_id": "new",
        "constraints": {"categories": categories},
        "options": {"include_explanation": True},
    }
    body, _ = await service.pipeline.personalize(
        PersonalizeRequest.model_validate(asked), request_id="r"
    )
    metadata: dict[str, Any] = body["metadata"]
    return metadata
