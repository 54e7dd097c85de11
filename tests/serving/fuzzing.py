"""Requests as OpenAPI describes them and as it doesn't, and what each answer has to keep."""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias, cast

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from requests import Session
from schemathesis import Case, CheckContext, Config, GenerationMode, Response
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi import checks as openapi
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.publish import CONTRACT

Request: TypeAlias = "Case[Any]"

# `make fuzz` sets it: so many times as many requests.
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
BASE = "http://testserver"
# Of the shop of the stand-ins.
KNOWN = {"user_id": "u1", "item_id": "mug-0"}

# A list that is too long may also make the body so.
TOOL = {
    "checks": {
        "negative_data_rejection": {
            "expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 429, 503]
        }
    }
}

# Of the tool's own, all but the one that takes every 400 to valid data for a fault: the schema
# can't say all that is asked (times within a century, one of two fields).
CHECKS: tuple[CheckFunction, ...] = (
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
    openapi.missing_required_header,
    openapi.unsupported_method,
    openapi.allow_header_conformance,
)
# A wrong request of several is refused inside of an answer.
LEFT_OUT = {("POST /v1/personalize/batch", openapi.negative_data_rejection)}


def bounded(examples: int) -> settings:
    """So many examples, the same each time; a longer run looks elsewhere each time."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@cache
def operations() -> Mapping[str, Any]:
    """Everything that the contract offers, by method and path."""
    schema = schemathesis.openapi.from_path(CONTRACT, config=Config.from_dict(TOOL))
    found = (cast("Any", one).ok() for one in schema.get_all_operations())
    return {one.label: one for one in found}


def boundaries(label: str) -> Iterator[Request]:
    """Each limit of the schema from both sides, each thing left out, each method not offered."""
    operation = operations()[label]
    schema = operation.schema
    schema.coverage_unexpected_methods_seen.clear()
    yield from schema.iter_coverage_cases(
        operation,
        generation_modes=list(GenerationMode),
        generation_config=schema.config.generation_for(operation=operation),
    )


@st.composite
def requests(draw: st.DrawFn, label: str) -> Request:
    """A request by the schema, of somebody known or unknown; or one that breaks it."""
    operation = operations()[label]
    modes = [GenerationMode.POSITIVE]
    if operation.body or operation.path_parameters:
        modes.append(GenerationMode.NEGATIVE)
    mode = draw(st.sampled_from(modes))
    case: Request = draw(operation.as_strategy(generation_mode=mode))
    if mode is GenerationMode.POSITIVE and draw(st.sampled_from([True, True, True, False])):
        _name_the_known(case)
    return case


def _name_the_known(case: Request) -> None:
    """Have the request go by what the service knows, so that it comes further."""
    for part in (case.body, case.path_parameters):
        if isinstance(part, dict):
            part.update({name: value for name, value in KNOWN.items() if name in part})


def session_to(app: ASGIApp) -> Session:
    """A client of an application in this process; nothing of it is started."""

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    return asgi.get_client(cast("Any", inside))


def checked(case: Request, session: Session, headers: Mapping[str, str], *, trouble: bool) -> int:
    """Send a request and hold the answer against the contract; its status."""
    never = only_a_promised_503 if trouble else not_a_server_error
    checks = [one for one in CHECKS if (case.operation.label, one) not in LEFT_OUT]
    answer = case.call_and_validate(
        base_url=BASE, session=session, headers=dict(headers), checks=[never, *checks]
    )
    assert answer.headers["x-request-id"]
    return int(answer.status_code)


def only_a_promised_503(ctx: CheckContext, response: Response, case: Request) -> None:
    """With servers away nothing fails but by the 503 that the contract has."""
    if response.status_code < 500:
        return
    assert response.status_code == 503, response.text
    assert "503" in case.operation.definition.raw["responses"], case.operation.label
