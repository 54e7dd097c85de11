"""Every endpoint, every kind of caller."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.routing import Route

from serving.access import ACCESS, needed_at
from serving.app import create_app
from settings import Settings
from tests.serving.callers_at_hand import bearer, every_kind, guarded, token
from tests.serving.pretended import Outside, known_user

LIST = {"user_id": "u1"}
DEED = {"user_id": "u1", "feedback": [{"item_id": "mug-0", "action": "click"}]}

REFUSED = dict.fromkeys(("anonymous", "bad key", "expired key", "revoked key", "bad token"), 401)


def closed(**others: int) -> dict[str, int]:
    """No caller gets in but those named."""
    named = {name.replace("_", " ").replace("users", "user's"): n for name, n in others.items()}
    return {**dict.fromkeys(every_kind(), 403), **REFUSED, **named}


OPEN = dict.fromkeys(every_kind(), 200)
MATRIX: dict[tuple[str, str], tuple[str, Any, dict[str, int]]] = {
    ("POST", "/v1/personalize"): (
        "/v1/personalize",
        LIST,
        closed(serve_key=200, admin_key=200, own_token=200, admin_token=200),
    ),
    ("POST", "/v1/personalize/batch"): (
        "/v1/personalize/batch",
        {"requests": [LIST]},
        closed(
            serve_key=200,
            admin_key=200,
            own_token=200,
            admin_token=200,
            other_users_token=200,
        ),
    ),
    ("POST", "/v1/feedback"): (
        "/v1/feedback",
        DEED,
        closed(feedback_key=202, admin_key=202, own_token=202, admin_token=202),
    ),
    ("POST", "/v1/recommendations"): (
        "/v1/recommendations",
        {"user_id": "u1"},
        closed(serve_key=200, admin_key=200, own_token=200, admin_token=200),
    ),
    ("POST", "/v1/similar"): (
        "/v1/similar",
        {"item_id": "mug-0", "user_id": "u1"},
        closed(serve_key=200, admin_key=200, own_token=200, admin_token=200),
    ),
    ("POST", "/v1/explain"): (
        "/v1/explain",
        {"user_id": "u1", "item_id": "mug-0"},
        closed(serve_key=200, admin_key=200, own_token=200, admin_token=200),
    ),
    ("POST", "/v1/feedback/negative"): (
        "/v1/feedback/negative",
        {"user_id": "u1", "item_id": "mug-0", "feedback_type": "hide"},
        closed(feedback_key=202, admin_key=202, own_token=202, admin_token=202),
    ),
    ("POST", "/interactions"): (
        "/interactions",
        {"user_id": "u1", "item_id": "mug-0", "action": "click"},
        closed(feedback_key=202, admin_key=202, own_token=202, admin_token=202),
    ),
    ("GET", "/v1/debug/users/{user_id:any_id}"): (
        "/v1/debug/users/u1",
        None,
        closed(admin_key=200, admin_token=200),
    ),
    ("GET", "/v1/experiments/{experiment_id}"): (
        "/v1/experiments/none",
        None,
        closed(admin_key=404, admin_token=404),
    ),
    ("GET", "/healthz"): ("/healthz", None, OPEN),
    ("GET", "/readyz"): ("/readyz", None, OPEN),
    ("GET", "/metrics"): ("/metrics", None, OPEN),
    ("GET", "/openapi.json"): ("/openapi.json", None, OPEN),
    ("GET", "/docs"): ("/docs", None, OPEN),
    ("GET", "/docs/oauth2-redirect"): ("/docs/oauth2-redirect", None, OPEN),
}


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    made = Outside(settings=guarded(tmp_path))
    made.online.users["u1"] = known_user()
    return made


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def endpoints() -> Iterator[tuple[str, str]]:
    for route in create_app(Settings()).routes:
        assert isinstance(route, Route), f"{route} is no plain route: say here how it is guarded"
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path


def test_every_endpoint_stands_in_the_matrix_and_in_the_table_and_no_other() -> None:
    assert set(endpoints()) == MATRIX.keys()
    for _, _, expected in MATRIX.values():
        assert expected.keys() == every_kind().keys()
    published = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
    assert {path for _, path in MATRIX} - published == ACCESS.keys()


@pytest.mark.parametrize("kind", every_kind())
@pytest.mark.parametrize("endpoint", MATRIX, ids=" ".join)
async def test_each_caller_gets_what_is_theirs(
    client: httpx.AsyncClient, endpoint: tuple[str, str], kind: str
) -> None:
    path, body, expected = MATRIX[endpoint]
    headers = every_kind()[kind]
    answer = await client.request(endpoint[0], path, json=body, headers=headers)
    assert answer.status_code == expected[kind], answer.text
    if answer.status_code in {401, 403}:
        await check_refusal(client, answer, endpoint, headers)


async def check_refusal(
    client: httpx.AsyncClient,
    answer: httpx.Response,
    endpoint: tuple[str, str],
    headers: Mapping[str, str],
) -> None:
    """A refusal is as OpenAPI says, tells what to do, and has nothing of what was sent."""
    schema = (await client.get("/openapi.json")).json()
    operation = schema["paths"][endpoint[1].replace(":any_id", "")][endpoint[0].lower()]
    promised = operation["responses"][str(answer.status_code)]["content"]["application/json"]
    jsonschema.validate(answer.json(), {**promised["schema"], "components": schema["components"]})
    assert answer.headers.get("www-authenticate", "").startswith("Bearer") == (
        answer.status_code == 401
    )
    secret = headers.get("Authorization", "Bearer no-secret").split()[1]
    assert secret not in answer.text


async def test_who_sent_nothing_is_told_so_and_who_sent_the_wrong_is_told_that(
    client: httpx.AsyncClient,
) -> None:
    nothing = await client.post("/v1/personalize", json=LIST)
    assert nothing.headers["www-authenticate"] == 'Bearer realm="freshet"'
    wrong = await client.post("/v1/personalize", json=LIST, headers=every_kind()["bad key"])
    assert wrong.headers["www-authenticate"] == 'Bearer realm="freshet", error="invalid_token"'
    expired = await client.post("/v1/personalize", json=LIST, headers=every_kind()["expired key"])
    assert "0000000d ended at 2020-01-01" in expired.json()["error"]["message"]
    revoked = await client.post("/v1/personalize", json=LIST, headers=every_kind()["revoked key"])
    assert "0000000e was revoked" in revoked.json()["error"]["message"]


async def test_a_missing_scope_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/feedback", json=DEED, headers=every_kind()["serve key"])
    assert "the scope feedback" in answer.json()["error"]["message"]
    assert "--scope feedback" in answer.json()["error"]["hint"]


async def test_the_door_is_before_the_body(client: httpx.AsyncClient, outside: Outside) -> None:
    headers = {"content-type": "application/json"}
    unknown = await client.post("/v1/personalize", content=b"{", headers=headers)
    assert unknown.status_code == 401
    wrong = {**headers, **every_kind()["feedback key"]}
    assert (await client.post("/v1/personalize", content=b"{", headers=wrong)).status_code == 403
    right = {**headers, **every_kind()["serve key"]}
    assert (await client.post("/v1/personalize", content=b"{", headers=right)).status_code == 400


async def test_a_token_that_is_of_another_user_does_nothing(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    answer = await client.post("/v1/feedback", json=DEED, headers=bearer(token("u2")))
    assert "another user" in answer.json()["error"]["message"]
    assert not outside.event_log.taken
    assert outside.memory.calls == 0


@pytest.mark.parametrize(
    "header", ["Basic dTpw", "Bearer", "Bearer ", "bearer", "\xfc", "Bearer \xfc", "fk_a_b"]
)
async def test_what_is_no_bearer_header_is_refused(client: httpx.AsyncClient, header: str) -> None:
    sent = [(b"authorization", header.encode("latin-1")), (b"content-type", b"application/json")]
    answer = await client.post("/v1/personalize", content=b"{}", headers=sent)
    assert answer.status_code == 401, answer.text


async def test_the_scheme_may_be_written_in_any_case(client: httpx.AsyncClient) -> None:
    sent = {"Authorization": every_kind()["serve key"]["Authorization"].replace("Bearer", "bEARER")}
    assert (await client.post("/v1/personalize", json=LIST, headers=sent)).status_code == 200


@pytest.mark.parametrize("kind", every_kind())
async def test_where_no_key_is_needed_anybody_may_but_administrate(kind: str) -> None:
    made = Outside(settings=Settings.model_validate({"serving": {"admin_token": "open-sesame"}}))
    app = create_app(made.settings)
    app.state.service = made.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = every_kind()[kind]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        listed = await client.post("/v1/personalize", json=LIST, headers=headers)
        taken = await client.post("/v1/feedback", json=DEED, headers=headers)
        looked = await client.get("/v1/debug/users/u1", headers=headers)
    allowed = 200 if kind == "admin token" else 403
    assert (listed.status_code, taken.status_code, looked.status_code) == (200, 202, allowed)


def test_a_route_that_is_not_in_the_table_cant_be_made() -> None:
    app = create_app(Settings())
    with pytest.raises(LookupError, match=r"/v1/new is not in serving\.access\.ACCESS: say"):
        app.get("/v1/new")(lambda: None)
    with pytest.raises(LookupError):
        needed_at("/v1/new")
