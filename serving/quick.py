"""The short way of a request that is in order: read, checked, answered.

The framework finds out anew for each request what its route wants, in several layers, which takes
as long as a remembered answer. Here only the plain case is known: a body that is as it should be,
with nothing beside it. Whatever else comes goes through the framework, which says what is wrong.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import let_in, needed_at
from serving.callers import Scope as Needed

# What an endpoint may be told beside its body; the framework reads it where a request has it.
KEY_PARAMETER, KEY_HEADER = "idempotency_key", b"idempotency-key"
KNOWN = {"body", "request", KEY_PARAMETER}

Endpoint = Callable[[Any, Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class QuickRoute:
    """A path with the shape of its body, and what answers it."""

    shape: type[BaseModel]
    endpoint: Endpoint
    needed: Needed


def quick_routes(app: FastAPI, bodies: Mapping[str, type[BaseModel]]) -> dict[str, QuickRoute]:
    """Those of an application's routes that ask for nothing but a body."""
    return {
        route.path: QuickRoute(shape=bodies[route.path], endpoint=route.endpoint, needed=needed)
        for route in app.routes
        if isinstance(route, APIRoute)
        and route.path in bodies
        and (needed := needed_at(route.path)) is not None
        and inspect.signature(route.endpoint).parameters.keys() <= KNOWN
    }


class QuickPosts:
    """ASGI middleware that answers what is in order by itself."""

    def __init__(self, app: ASGIApp, *, routes: Mapping[str, QuickRoute]) -> None:
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        route = self._route(scope)
        if route is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        request.state.caller = let_in(request, route.needed)
        messages = await _read(receive)
        body = _checked(messages, route.shape)
        if body is None:
            await self.app(scope, _again(messages, receive), send)
            return
        response = await route.endpoint(body, request)
        await response(scope, receive, send)

    def _route(self, scope: Scope) -> QuickRoute | None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        if any(name == KEY_HEADER for name, _ in scope["headers"]):
            return None
        return self.routes.get(scope["path"])


async def _read(receive: Receive) -> list[Message]:
    """The messages of a body, to its end or to that of the connection."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _checked(messages: list[Message], shape: type[BaseModel]) -> BaseModel | None:
    if messages[-1]["type"] != "http.request":
        return None
    try:
        body = orjson.loads(b"".join(message.get("body", b"") for message in messages))
        return shape.model_validate(body)
    except (orjson.JSONDecodeError, ValidationError):
        return None


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What was received once more, and then what comes."""
    left = iter(messages)

    async def received() -> Message:
        return next(left, None) or await receive()

    return received
