"""Every error in one shape: what was wrong, the value seen, what to do next."""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, RootModel
from starlette.exceptions import HTTPException

from serving.metrics import Metrics
from serving.request_scope import current_request_id

SHOWN_LENGTH = 80


class ApiError(HTTPException):
    """An answer that says no. As an HTTPException the framework lets it through."""

    def __init__(
        self,
        status: int,
        code: str,
        *,
        message: str,
        hint: str,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field

    def told(self) -> dict[str, str]:
        """What it says."""
        told = {"code": self.code, "message": self.message, "hint": self.hint}
        field = {"field": self.field} if self.field else {}
        return {**told, "request_id": current_request_id(), **field}

    def response(self) -> Response:
        """The answer in the one format."""
        return Response(
            # Not orjson: what a client sent may hold halves of characters, and is shown as it is.
            json.dumps({"error": self.told()}),
            status_code=self.status_code,
            headers=self.headers,
            media_type="application/json",
        )


def unavailable(message: str, *, hint: str, retry_after_s: int) -> ApiError:
    """The 503 that asks to come back."""
    return ApiError(
        503,
        "unavailable",
        message=message,
        hint=hint,
        headers={"Retry-After": str(retry_after_s)},
    )


def install(app: FastAPI, metrics: Metrics, bodies: Mapping[str, type[BaseModel]]) -> None:
    """Have the application answer every error in the one format; `bodies` goes by path."""

    def answer(error: ApiError) -> Response:
        metrics.errors.labels(error.code).inc()
        return error.response()

    async def on_api_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return answer(error)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(invalid(error, bodies.get(request.url.path, BaseModel)))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(of_status(error, request))

    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)


def internal() -> ApiError:
    """The 500 of a fault in the program; it tells nothing of the inside."""
    return ApiError(
        500,
        "internal",
        message="the service failed to make an answer",
        hint="try again; if it stays, report the request_id with the service's log",
    )


def of_status(error: HTTPException, request: Request) -> ApiError:
    """What the framework refuses by itself: unknown paths, wrong methods, unreadable bodies."""
    if error.status_code == 404:
        return _not_found(request)
    if error.status_code == 405:
        return _wrong_method(error, request)
    if error.status_code == 400:
        return _unreadable("the body can't be read as UTF-8 JSON")
    return ApiError(
        error.status_code, "refused", message=str(error.detail), hint="see /docs for the interface"
    )


def _not_found(request: Request) -> ApiError:
    return ApiError(
        404,
        "not_found",
        message=f"there is nothing at {shown(request.url.path)}",
        hint="the paths are listed at /docs and /openapi.json",
    )


def _wrong_method(error: HTTPException, request: Request) -> ApiError:
    allowed = (error.headers or {}).get("Allow", "")
    return ApiError(
        405,
        "method_not_allowed",
        message=f"{request.method} is not possible at {shown(request.url.path)}",
        hint=f"use {allowed}" if allowed else "see /docs for the methods of each path",
        headers={"Allow": allowed} if allowed else None,
    )


def _unreadable(message: str) -> ApiError:
    return ApiError(
        400,
        "invalid_json",
        message=message,
        hint="send one JSON object in UTF-8; /docs has examples",
    )


def invalid(error: RequestValidationError, body: type[BaseModel]) -> ApiError:
    """The first thing that is wrong with a request."""
    found = error.errors()
    first = found[0]
    if first["type"] == "json_invalid":
        position = first["loc"][-1]
        return _unreadable(f"the body is not JSON: {first['ctx']['error']} at character {position}")
    field = ".".join(str(part) for part in _named(first["loc"], body))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    code, message, hint = _said(first, field, body)
    return ApiError(400, code, message=message + more, hint=hint, field=field or None)


def _said(first: Mapping[str, Any], field: str, body: type[BaseModel]) -> tuple[str, str, str]:
    if first["type"] == "missing":
        return "missing_field", f"{field or 'the body'} is missing", "add it; /docs has examples"
    if first["type"] == "extra_forbidden":
        known = known_beside(first["loc"], body)
        return "unknown_field", f"{field} is not a field of this request", _suggest(field, known)
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    name = field or "the body"
    return (
        "invalid_value",
        f"{name} is {shown(first['input'])}: {message}",
        f"correct {name}; /docs shows what is allowed",
    )


def shown(value: Any) -> str:
    """A value as a message may show it: short, and as JSON.

    >>> shown("x" * 200)[-4:]
    'xxx…'
    >>> shown({"a": 1})
    '{"a":1}'
    """
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=repr)
    except RecursionError:
        text = "nested too deep to show"
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


def _suggest(field: str, known: list[str]) -> str:
    near = get_close_matches(field.rpartition(".")[2], known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known here: {', '.join(known)}" if known else "see /docs for the fields"


def known_beside(path: Sequence[str | int], body: type[BaseModel]) -> list[str]:
    """The field names of the model that holds the last step of a path."""
    schema = body.model_json_schema()
    if _has_shapes(body):
        schema = {**schema["$defs"][path[1]], "$defs": schema["$defs"]}
    return list(_walk(schema, _named(path, body)[:-1]))


def _named(path: Sequence[str | int], body: type[BaseModel]) -> list[str | int]:
    """The steps that a client knows: not which of several shapes its body was taken for."""
    steps = path[1:] if path[:1] == ("body",) else path
    return list(steps[1:] if path[:1] == ("body",) and _has_shapes(body) else steps)


def _has_shapes(body: type[BaseModel]) -> bool:
    """Whether a path into the body begins with the name of one of its shapes."""
    return issubclass(body, RootModel)


def _walk(schema: dict[str, Any], path: list[Any]) -> dict[str, Any]:
    node = schema
    for part in path:
        inner = node.get("properties", {}).get(part, {})
        node = node.get("items", {}) if isinstance(part, int) else inner
        node = _resolved(node, schema)
    properties: dict[str, Any] = node.get("properties", {})
    return properties


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    options = node.get("anyOf", [node])
    reference = next((one["$ref"] for one in options if "$ref" in one), None)
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node
