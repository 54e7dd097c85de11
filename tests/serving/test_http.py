"""The HTTP interface from outside: shapes, refusals, headers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.app import create_app
from serving.gate import MAX_BODY_BYTES
from settings import Settings
from tests.serving.pretended import Outside, count_of, known_user

FEEDBACK = {"user_id": "u1", "feedback": [{"item_id": "mug-0", "action": "click"}]}


@pytest.fixture
def outside() -> Outside:
    made = Outside()
    made.online.users["u1"] = known_user()
    return made


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings())
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def check(client: httpx.AsyncClient, answer: httpx.Response) -> Any:
    """The body, after it was held against what OpenAPI promises for this path and status."""
    schema = (await client.get("/openapi.json")).json()
    operation = schema["paths"][answer.request.url.path][answer.request.method.lower()]
    promised = operation["responses"][str(answer.status_code)]["content"]["application/json"]
    jsonschema.validate(answer.json(), {**promised["schema"], "components": schema["components"]})
    return answer.json()


def error_of(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The error, after its shape was checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, str] = answer.json()["error"]
    assert error.keys() - {"field"} == {"code", "message", "hint", "request_id"}
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert all(error.values())
    return error


async def test_a_known_user_gets_a_list_as_promised(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/personalize",
        json={
            "user_id": "u1",
            "constraints": {"count": 3},
            "options": {"include_explanation": True, "exploration_rate": 0},
        },
    )
    body = await check(client, answer)
    assert [item["rank"] for item in body["items"]] == [1, 2, 3]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["metadata"]["fallbacks"] == []
    assert body["metadata"]["versions"]["user"] == 7
    assert all(item["explanation"] for item in body["items"])


async def test_an_unknown_user_gets_the_cold_start(client: httpx.AsyncClient) -> None:
    body = await check(client, await client.post("/v1/personalize", json={"user_id": "nobody"}))
    assert len(body["items"]) == 6
    assert body["metadata"]["cold_start"] is True
    assert body["metadata"]["fallbacks"] == []


async def test_feedback_is_accepted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/feedback", json=FEEDBACK)
    assert answer.status_code == 202
    assert (await check(client, answer))["processed"] == 1


async def test_health_readiness_and_metrics(client: httpx.AsyncClient) -> None:
    assert (await check(client, await client.get("/healthz"))) == {"status": "ok"}
    ready = await check(client, await client.get("/readyz"))
    assert ready["status"] == "ready"
    parts = {"redis", "milvus", "triton", "user_tower", "kafka"}
    assert ready["dependencies"].keys() == parts
    await client.post("/v1/personalize", json={"user_id": "u1"})
    page = (await client.get("/metrics")).text
    for name in ("http_seconds", "stage_seconds", "dependency_seconds"):
        assert f"freshet_{name}_bucket" in page
    assert 'path="/v1/personalize",status="200"' in page


async def test_a_dead_dependency_is_shown_as_degraded(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    outside.ranker.away = True
    for _ in range(3):
        await client.post("/v1/personalize", json={"user_id": "u1"})
    answer = await client.get("/readyz")
    body = await check(client, answer)
    assert (answer.status_code, body["status"]) == (200, "degraded")
    assert body["dependencies"]["triton"]["up"] is False
    assert "it is away" in body["dependencies"]["triton"]["detail"]
    assert body["dependencies"]["redis"]["up"] is True


async def test_without_any_item_the_service_is_not_ready(outside: Outside) -> None:
    app = create_app(Settings())
    app.state.service = outside.service([])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, (await check(client, ready))["status"]) == (503, "unready")
        answer = await client.post("/v1/personalize", json={"user_id": "u1"})
        error = error_of(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "2"
        assert "/readyz" in error["hint"]


async def test_before_its_start_the_service_asks_for_patience() -> None:
    transport = httpx.ASGITransport(create_app(Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/v1/personalize", json={"user_id": "u1"})
        assert "starting" in error_of(answer, 503, "unavailable")["message"]


@pytest.mark.parametrize("path", ["/v1/personalize", "/v1/feedback"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"", "missing"),
        (b'{"user_id": "\xff"}', "can't be read"),
        (b'{"user_id": "\\ud800"}', "user_id"),
        (b"[" * 60_000, ""),
        (b'{"user_id": NaN}', "user_id"),
        (b'"text"', "the body"),
        (b"[]", "the body"),
        (b'{"\\ud800": 1}', ""),
        (b'{"user_id": ' + b"[" * 900 + b"]" * 900 + b"}", "user_id"),
        (b'{"user_id": ' + b"9" * 4000 + b"}", "user_id"),
        (b"9" * 5000, ""),
        (b"null", "the body"),
        (b"1e999999", "the body"),
    ],
)
async def test_what_is_no_json_object_is_refused(
    client: httpx.AsyncClient, path: str, body: bytes, says: str
) -> None:
    answer = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    error = error_of(answer, 400, answer.json()["error"]["code"])
    assert says in error["message"]
    await check(client, answer)


@pytest.mark.parametrize(
    ("body", "field", "code", "says"),
    [
        ({}, "user_id", "missing_field", "user_id is missing"),
        ({"user_id": 5}, "user_id", "invalid_value", "user_id is 5: should be a valid string"),
        ({"user_id": ""}, "user_id", "invalid_value", "at least 1 character"),
        ({"user_id": "x" * 257}, "user_id", "invalid_value", "at most 256 characters"),
        ({"user_id": "é" * 200}, "user_id", "invalid_value", "has 400 bytes; at most 256"),
        ({"user_id": None}, "user_id", "invalid_value", "user_id is null"),
        ({"user_id": "u", "sesion_id": "s"}, "sesion_id", "unknown_field", "sesion_id"),
        ({"user_id": "u", "constraints": []}, "constraints", "invalid_value", "constraints is []"),
        *(
            ({"user_id": "u", "constraints": {"count": count}}, "constraints.count", code, says)
            for count, code, says in [
                (
                    0,
                    "invalid_value",
                    "constraints.count is 0: should be greater than or equal",
                ),
                (101, "invalid_value", "constraints.count is 101: should be less than or equal"),
                ("20", "invalid_value", "should be a valid integer"),
                (2.5, "invalid_value", "should be a valid integer"),
                (True, "invalid_value", "should be a valid integer"),
            ]
        ),
        (
            {"user_id": "u", "constraints": {"price_range": {"min": 5, "max": 1}}},
            "constraints.price_range",
            "invalid_value",
            "min can't exceed max",
        ),
        (
            {"user_id": "u", "constraints": {"price_range": {"min": -1}}},
            "constraints.price_range.min",
            "invalid_value",
            "is -1: should be greater than or equal to 0",
        ),
        (
            {"user_id": "u", "constraints": {"exclude_items": ["i"] * 501}},
            "constraints.exclude_items",
            "invalid_value",
            "at most 500",
        ),
        (
            {"user_id": "u", "constraints": {"categories": ["a", 1]}},
            "constraints.categories.1",
            "invalid_value",
            "is 1: should be a valid string",
        ),
        (
            {"user_id": "u", "options": {"exploration_rate": 1.5}},
            "options.exploration_rate",
            "invalid_value",
            "is 1.5: should be less than or equal to 1",
        ),
        (
            {"user_id": "u", "options": {"diversity_weight": -0.1}},
            "options.diversity_weight",
            "invalid_value",
            "is -0.1",
        ),
        (
            {"user_id": "u", "options": {"include_explanation": "yes"}},
            "options.include_explanation",
            "invalid_value",
            'is "yes": should be a valid boolean',
        ),
        (
            {"user_id": "u", "context": {"device": "fridge"}},
            "context.device",
            "invalid_value",
            "'mobile', 'desktop', 'tablet' or 'tv'",
        ),
        *(
            (
                {"user_id": "u", "context": {"timestamp": time}},
                "context.timestamp",
                "invalid_value",
                says,
            )
            for time, says in [
                (5, "RFC 3339"),
                ("soon", "valid datetime"),
                ("2026-01-29T10:30:00", "timezone"),
                ("9999-01-29T10:30:00Z", "between the years 1970 and 2100"),
            ]
        ),
        (
            {"user_id": "u", "context": {"geo": {"planet": "Mars"}}},
            "context.geo.planet",
            "unknown_field",
            "context.geo.planet is not a field",
        ),
    ],
)
async def test_wrong_values_are_named(
    client: httpx.AsyncClient, body: dict[str, Any], field: str, code: str, says: str
) -> None:
    answer = await client.post("/v1/personalize", json=body)
    error = error_of(answer, 400, code)
    assert error["field"] == field
    assert says in error["message"]
    await check(client, answer)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"user_id": "u1"}, "feedback", "missing_field"),
        ({"user_id": "u1", "feedback": []}, "feedback", "invalid_value"),
        ({"user_id": "u1", "feedback": [FEEDBACK["feedback"]] * 101}, "feedback", "invalid_value"),
        ({"user_id": "u1", "feedback": [{"item_id": "a"}]}, "feedback.0.action", "missing_field"),
        (
            {"user_id": "u1", "feedback": [{"item_id": "a", "action": "eat"}]},
            "feedback.0.action",
            "invalid_value",
        ),
        (
            {"user_id": "u1", "feedback": [{"item_id": "a", "action": "click", "position": 0}]},
            "feedback.0.position",
            "invalid_value",
        ),
        (
            {"user_id": "u1", "feedback": [{"item_id": "a", "action": "click", "x": 1}]},
            "feedback.0.x",
            "unknown_field",
        ),
    ],
)
async def test_wrong_feedback_is_named(
    client: httpx.AsyncClient, outside: Outside, body: dict[str, Any], field: str, code: str
) -> None:
    answer = await client.post("/v1/feedback", json=body)
    assert error_of(answer, 400, code)["field"] == field
    await check(client, answer)
    assert not outside.event_log.taken


async def test_hints_say_what_to_do(client: httpx.AsyncClient) -> None:
    misspelt = await client.post("/v1/personalize", json={"user_id": "u", "sesion_id": "s"})
    assert misspelt.json()["error"]["hint"] == "did you mean session_id?"
    inner = await client.post("/v1/personalize", json={"user_id": "u", "context": {"zzz": 1}})
    assert inner.json()["error"]["hint"] == (
        "known here: page_type, placement, device, geo, timestamp"
    )
    entry = {"item_id": "a", "action": "click", "positon": 1}
    listed = await client.post("/v1/feedback", json={"user_id": "u", "feedback": [entry]})
    assert listed.json()["error"]["hint"] == "did you mean position?"


async def test_several_wrong_values_are_counted_and_long_ones_cut(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/v1/personalize", json={"user_id": "x" * 5000, "session_id": 1})
    message = answer.json()["error"]["message"]
    assert "(and 1 more)" in message
    assert len(message) < 200


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_a_wrong_idempotency_key_is_named(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/v1/feedback", json=FEEDBACK, headers={"Idempotency-Key": key})
    assert "idempotency-key" in error_of(answer, 400, "invalid_value")["message"].lower()


async def test_an_idempotency_key_repeats_and_is_not_reused(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await client.post("/v1/feedback", json=FEEDBACK, headers=headers)
    again = await client.post("/v1/feedback", json=FEEDBACK, headers=headers)
    assert first.content == again.content
    other = await client.post("/v1/feedback", json={**FEEDBACK, "session_id": "s"}, headers=headers)
    error_of(other, 409, "idempotency_key_reused")
    await check(client, other)


async def test_without_the_log_feedback_says_when_to_come_back(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    outside.event_log.away = True
    answer = await client.post("/v1/feedback", json=FEEDBACK)
    error_of(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "2"
    await check(client, answer)


async def test_a_huge_body_is_refused_by_its_header(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/personalize", json={"user_id": "x" * MAX_BODY_BYTES})
    length = answer.request.headers["content-length"]
    assert f"has {length} bytes" in error_of(answer, 413, "body_too_large")["message"]
    await check(client, answer)


async def test_a_huge_body_without_a_length_is_refused_too(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    answer = await client.post(
        "/v1/personalize", content=chunks(), headers={"content-type": "application/json"}
    )
    error_of(answer, 413, "body_too_large")


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_refused(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await client.post("/v1/personalize", content=b'{"user_id": "u"}', headers=headers)
    assert (kind or "missing") in error_of(answer, 415, "unsupported_media_type")["message"]
    await check(client, answer)


async def test_a_charset_is_no_other_content_type(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    answer = await client.post("/v1/personalize", content=b'{"user_id": "u"}', headers=headers)
    assert answer.status_code == 200


async def test_unknown_paths_and_wrong_methods(client: httpx.AsyncClient) -> None:
    missing = await client.get("/v1/nothing")
    assert "/v1/nothing" in error_of(missing, 404, "not_found")["message"]
    wrong = await client.get("/v1/personalize")
    assert error_of(wrong, 405, "method_not_allowed")["hint"] == "use POST"
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("headers", [{}, {"content-length": "999999"}])
async def test_a_post_where_nothing_is_read_is_a_wrong_method_or_path(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    error_of(await client.post("/healthz", headers=headers), 405, "method_not_allowed")
    error_of(await client.post("/v1/nothing", headers=headers), 404, "not_found")


async def test_a_fault_of_the_program_tells_nothing_of_the_inside(
    client: httpx.AsyncClient, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.pipeline.admit", lambda *_, **__: 1 / 0)
    answer = await client.post("/v1/personalize", json={"user_id": "u1"})
    error_of(answer, 500, "internal")
    assert "division" not in answer.text
    await check(client, answer)


async def test_errors_are_counted(client: httpx.AsyncClient, outside: Outside) -> None:
    await client.get("/v1/nothing")
    await client.post("/v1/personalize", json={})
    await client.post("/v1/personalize", content=b"x")
    for code in ("not_found", "missing_field", "unsupported_media_type"):
        assert count_of(outside.metrics, "freshet_errors_total", code=code) == 1
    name, seen = "freshet_http_seconds_count", {"method": "GET", "path": "other", "status": "404"}
    assert count_of(outside.metrics, name, **seen) == 1


async def test_the_examples_of_the_documentation_work(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    for path, name in [("personalize", "PersonalizeRequest"), ("feedback", "FeedbackRequest")]:
        example = schemas[name]["examples"][0]
        answer = await client.post(f"/v1/{path}", json=example)
        assert answer.status_code in {200, 202}, answer.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
keys = st.sampled_from(["user_id", "context", "constraints", "options", "session_id", "other"])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=json_values | st.dictionaries(keys, json_values))
async def test_no_body_makes_the_service_fail(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post(
        "/v1/personalize",
        content=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in {200, 400}
    if answer.status_code == 400:
        assert answer.json()["error"]["hint"]
