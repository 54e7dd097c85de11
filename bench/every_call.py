"""A steady load on every endpoint of the service, each answer noted; acknowledged feedback kept."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from bench.light_client import LightClient, NoAnswerError
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from settings import Settings

GIVE_UP_S = 6.0
SEGMENT = "mobile_us_evening"
# Dearer than anything: such a limit leaves nothing out and makes a request unlike all others.
DEAR = 1_000_000
NO_ANSWER = "no answer"

# Requests a second, of a whole of 1.
SHARES: Mapping[str, float] = {
    "/v1/personalize": 0.26,
    "/v1/recommendations": 0.10,
    "/v1/similar": 0.10,
    "/v1/explain": 0.04,
    "/v1/feedback": 0.20,
    "/interactions": 0.10,
    "/v1/feedback/negative": 0.06,
    "Sample": 0.06,
    "GetParameters": 0.02,
    "UpdatePosterior": 0.06,
}


@dataclass(frozen=True, slots=True)
class Shot:
    """One request and what became of it."""

    endpoint: str
    due: float
    took_ms: float
    status: str
    fallbacks: tuple[str, ...] = ()


@dataclass(eq=False)
class EveryCall:
    """Sends what is due, whether or not earlier answers have come."""

    settings: Settings
    rate: float
    users: int
    items: int
    shots: list[Shot] = field(default_factory=list)
    events: set[str] = field(default_factory=set)
    rewards: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        serving = self.settings.serving
        self.client = LightClient(serving.host, serving.port)
        self._numbers = itertools.count()
        self._channel = grpc.aio.insecure_channel(f"{serving.host}:{serving.grpc_port}")
        self._stub: Any = BanditServiceStub(self._channel)
        self._offered = set(SHARES)

    async def run(self, stop: asyncio.Event) -> None:
        """Every endpoint at its share, until told to stop."""
        await self._leave_out_what_is_not_offered()
        async with asyncio.TaskGroup() as streams:
            for endpoint in self._offered:
                streams.create_task(self._stream(endpoint, self.rate * SHARES[endpoint], stop))
        self.client.close()
        await self._channel.close()

    async def _leave_out_what_is_not_offered(self) -> None:
        paths = json.loads((await self.client.get("/openapi.json")).body)["paths"]
        self._offered = {one for one in SHARES if not one.startswith("/") or one in paths}

    async def _stream(self, endpoint: str, rate: float, stop: asyncio.Event) -> None:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as under_way:
            for number in itertools.count():
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if stop.is_set():
                    break
                under_way.create_task(self._one(endpoint, due))

    async def _one(self, endpoint: str, due: float) -> None:
        call = self._over_http if endpoint.startswith("/") else self._over_grpc
        status = NO_ANSWER
        fallbacks: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(GIVE_UP_S):
                status, fallbacks = await call(endpoint, next(self._numbers))
        except (TimeoutError, OSError, NoAnswerError) as error:
            status = f"{NO_ANSWER}: {type(error).__name__}"
        took_ms = (time.perf_counter() - due) * 1000
        self.shots.append(Shot(endpoint, due, took_ms, status, fallbacks))

    async def _over_http(self, endpoint: str, number: int) -> tuple[str, tuple[str, ...]]:
        tag = f"killing-{number}"
        answer = await self.client.post(endpoint, json.dumps(self._body(endpoint, number)).encode())
        if answer.status == 202:
            self.events.add(tag)
        told = json.loads(answer.body) if answer.status == 200 else {}
        return str(answer.status), tuple(told.get("metadata", {}).get("fallbacks", ()))

    def _body(self, endpoint: str, number: int) -> dict[str, Any]:
        return BODIES[endpoint](
            number, f"u{number % self.users:05d}", f"i{number % self.items:05d}"
        )

    async def _over_grpc(self, method: str, number: int) -> tuple[str, tuple[str, ...]]:
        item = f"i{number % self.items:05d}"
        asked: Any = {
            "Sample": pb.SampleRequest(item_ids=[item], context_segment=SEGMENT),
            "GetParameters": pb.ParameterRequest(item_ids=[item], context_segment=SEGMENT),
            "UpdatePosterior": pb.UpdateRequest(
                item_id=item, context_segment=SEGMENT, reward=1.0, update_id=f"killing-{number}"
            ),
        }[method]
        call: Callable[..., Awaitable[Any]] = getattr(self._stub, method)
        try:
            answer = await call(asked, timeout=GIVE_UP_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return error.code().name, ()
        if method == "UpdatePosterior":
            self.rewards.add(answer.update_id)
        return "OK", tuple(getattr(answer, "fallbacks", ()))


def _personalize(number: int, user: str, _: str) -> dict[str, Any]:
    """Every other list is unlike all others, so that no ranking is remembered for it."""
    anew = {"constraints": {"price_range": {"max": DEAR + number}}} if number % 2 else {}
    return {"user_id": user, "session_id": "s", **anew}


def _similar(number: int, user: str, item: str) -> dict[str, Any]:
    kind = ("content", "collaborative", "hybrid")[number % 3]
    return {"item_id": item, "user_id": user, "similarity_type": kind}


def _feedback(number: int, user: str, item: str) -> dict[str, Any]:
    return {
        "user_id": user,
        "request_id": f"killing-{number}",
        "feedback": [{"item_id": item, "action": "click"}],
    }


def _interaction(number: int, _: str, item: str) -> dict[str, Any]:
    """Of a user each: the same deed counts once a minute."""
    return {
        "user_id": f"k{number}",
        "item_id": item,
        "action": "view",
        "context": {"recommendation_id": f"killing-{number}"},
    }


def _negative(number: int, _: str, item: str) -> dict[str, Any]:
    return {
        "user_id": f"k{number}",
        "item_id": item,
        "feedback_type": "not_interested",
        "recommendation_id": f"killing-{number}",
    }


BODIES: Mapping[str, Callable[[int, str, str], dict[str, Any]]] = {
    "/v1/personalize": _personalize,
    "/v1/recommendations": lambda _, user, __: {"user_id": user},
    "/v1/similar": _similar,
    "/v1/explain": lambda _, user, item: {"user_id": user, "item_id": item},
    "/v1/feedback": _feedback,
    "/interactions": _interaction,
    "/v1/feedback/negative": _negative,
}
