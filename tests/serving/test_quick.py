"""The short way answers what is in order, and leaves everything else to the framework."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.app import BODIES, create_app
from serving.quick import QuickPosts, quick_routes
from settings import Settings
from tests.serving.pretended import Outside, known_user

PERSONALIZE = "/v1/personalize"
JSON = {"content-type": "application/json"}


class Framework:
    """Stands where the framework does, and sees what comes to it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append(body)
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def framework() -> Framework:
    return Framework()


@pytest.fixture
async def client(framework: Framework) -> AsyncIterator[httpx.AsyncClient]:
    outside = Outside()
    outside.online.users["u1"] = known_user()
    app = create_app(Settings())
    app.state.service = outside.service()
    quick = QuickPosts(framework, routes=quick_routes(app, BODIES))

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        await quick({**scope, "app": app}, receive, send)

    transport = httpx.ASGITransport(named)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def test_every_endpoint_with_a_body_has_the_short_way() -> None:
    routes = quick_routes(create_app(Settings()), BODIES)
    assert routes.keys() == BODIES.keys()
    assert (routes[PERSONALIZE].needed, routes["/interactions"].needed) == ("serve", "feedback")


async def test_what_is_in_order_is_answered_without_the_framework(
    client: httpx.AsyncClient, framework: Framework
) -> None:
    answer = await client.post(PERSONALIZE, json={"user_id": "u1"})
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 6
    assert framework.seen == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"user_id": 5}', b'{"user_id": "u1", "options": NaN}', b"\xff"],
)
async def test_what_is_not_goes_to_the_framework_as_it_came(
    client: httpx.AsyncClient, framework: Framework, body: bytes
) -> None:
    answer = await client.post(PERSONALIZE, content=body, headers=JSON)
    assert (answer.status_code, framework.seen) == (418, [body])


async def test_a_body_in_pieces_is_read_to_its_end(
    client: httpx.AsyncClient, framework: Framework
) -> None:
    async def pieces(text: bytes) -> AsyncIterator[bytes]:
        for place in range(0, len(text), 5):
            yield text[place : place + 5]

    good = json.dumps({"user_id": "u1", "session_id": "s"}).encode()
    answer = await client.post(PERSONALIZE, content=pieces(good), headers=JSON)
    assert (answer.status_code, framework.seen) == (200, [])
    answer = await client.post(PERSONALIZE, content=pieces(good[:-1]), headers=JSON)
    assert (answer.status_code, framework.seen) == (418, [good[:-1]])


async def test_other_methods_paths_and_requests_that_may_be_repeats_go_to_the_framework(
    client: httpx.AsyncClient, framework: Framework
) -> None:
    await client.get("/healthz")
    await client.get(PERSONALIZE)
    await client.post("/nowhere", json={})
    deed = {"user_id": "u1", "item_id": "mug-0", "event_type": "click"}
    assert (await client.post("/interactions", json=deed)).status_code == 202
    await client.post("/interactions", json=deed, headers={"Idempotency-Key": "once"})
    assert len(framework.seen) == 4


async def test_a_connection_that_ends_early_is_left_to_the_framework() -> None:
    left: list[Message] = []

    async def framework(_: Scope, receive: Receive, __: Send) -> None:
        left.append(await receive())

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def nothing(_: Message) -> None:
        raise AssertionError("nobody is there to answer")

    app = create_app(Settings())
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": PERSONALIZE,
        "headers": [],
        "app": app,
    }
    await QuickPosts(framework, routes=quick_routes(app, BODIES))(scope, gone, nothing)
    assert left == [{"type": "http.disconnect"}]
