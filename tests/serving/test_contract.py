"""The published contract: up to date, and kept by real answers of every endpoint."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from serving.admission import admission_of
from serving.app import BODIES, create_app
from serving.gate import MAX_BODY_BYTES
from serving.publish import CONTRACT, contract, main
from serving.readouts import Ledger, Readouts
from settings import Settings
from settings.model import TierLimits
from tests.serving.callers_at_hand import bearer, guarded, token
from tests.serving.compared import fill, following
from tests.serving.pretended import Outside, PretendedServer, item, known_user, shop

TOKEN = "open-sesame"
KNOWS_ADMINISTRATORS = Settings.model_validate(
    {"serving": {"admin_token": TOKEN, "kept_feedback": 0}}
)
ONE_A_SECOND = dict.fromkeys(TierLimits.model_fields, 1)
READ_OUT = "/v1/experiments/{experiment_id}"
LOOK = "/v1/debug/users/{user_id}"
JSON = {"content-type": "application/json"}
POSTS = tuple(BODIES)
BATCH = "/v1/personalize/batch"
FEEDBACK = {"user_id": "u1", "feedback": [{"item_id": "mug-0", "action": "click"}]}
NEGATIVE = {"user_id": "u1", "item_id": "mug-0", "feedback_type": "report"}
CLICK = {"user_id": "u1", "item_id": "mug-0", "action": "click"}
# Every one is sent with the same Idempotency-Key, so that another body with it is refused.
TOLD: dict[str, dict[str, Any]] = {
    "/v1/feedback": FEEDBACK,
    "/v1/feedback/negative": NEGATIVE,
    "/interactions": CLICK,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request, and what the contract promises for it; a path may have a part to fill in."""

    path: str
    status: int
    method: str = "post"
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    state: str = "well"

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status} {self.state}"


def answered() -> Iterator[Case]:
    """Requests that are answered, of every shape."""
    explained = {"include_explanation": True}
    yield Case(path="/v1/personalize", status=200, body={"user_id": "u1", "options": explained})
    for user_id in ("u1", "nobody"):
        for path in ("/v1/personalize", "/v1/recommendations"):
            yield Case(path=path, status=200, body={"user_id": user_id})
            yield Case(path=path, status=200, body={"user_id": user_id}, state="alone")
    for kind in ("content", "collaborative", "hybrid"):
        body = {"item_id": "mug-0", "user_id": "u1", "similarity_type": kind}
        yield Case(path="/v1/similar", status=200, body=body)
    yield Case(path="/v1/similar", status=200, body={"item_id": "plain"}, state="alone")
    yield Case(path="/v1/similar", status=404, body={"item_id": "nothing"})
    mug = {"user_id": "u1", "item_id": "mug-0"}
    asks_all = {**mug, "include_trace": True, "what_if": {"emotion": "anger", "exploration": False}}
    for state in ("listed", "well", "alone"):
        yield Case(path="/v1/explain", status=200, body=mug, state=state)
    yield Case(path="/v1/explain", status=200, body=asks_all, state="listed")
    yield Case(path="/v1/explain", status=503, body=asks_all, state="alone")
    yield Case(path="/v1/explain", status=404, body=asks_all)
    yield Case(path="/v1/explain", status=404, body={**mug, "item_id": "nothing"})
    for path, body in TOLD.items():
        yield Case(path=path, status=202, body=body)
        yield Case(path=path, status=503, body=body, state="no log")
    asked = [{"user_id": "u1"}, {"user_id": 5}, {"user_id": "nobody", "options": explained}]
    yield Case(path=BATCH, status=200, body={"requests": asked})
    yield Case(path=BATCH, status=200, body={"requests": asked}, state="empty")
    told = {"user_id": "u1", "events": [{"item_id": "a", "event_type": "like"}] * 2}
    yield Case(path="/v1/feedback", status=202, body=told)
    yield Case(path="/v1/feedback", status=400, body=told | {"feedback": []})
    batch = {"user_id": "u1", "interactions": [{"item_id": "a", "event_type": "like"}] * 2}
    yield Case(path="/interactions", status=202, body=batch)
    less = {**NEGATIVE, "feedback_type": "hide", "scope": "category"}
    yield Case(path="/v1/feedback/negative", status=202, body=less)


def refused() -> Iterator[Case]:
    """Requests that are refused, or that meet a service in trouble."""
    for path in POSTS:
        yield Case(path=path, status=400, body={})
        yield Case(path=path, status=400, body={"user_id": "u1", "item_id": "a", "x": 1})
        yield Case(path=path, status=408, state="slow")
        yield Case(path=path, status=413, body={"user_id": "x" * MAX_BODY_BYTES})
        yield Case(path=path, status=415, headers={"content-type": "text/plain"})
        yield Case(path=path, status=500, body=any_body(path), state="broken")
        yield Case(path=path, status=503, body=any_body(path), state="starting")
    yield Case(path=BATCH, status=401, body=any_body(BATCH), state="guarded")
    no_scope = bearer(token("u1", scope="openid"))
    yield Case(path=BATCH, status=403, body=any_body(BATCH), headers=no_scope, state="guarded")
    for path in (one for one in POSTS if one != BATCH):
        body = {**any_body(path), "user_id": "u1"}
        yield Case(path=path, status=401, body=body, state="guarded")
        yield Case(path=path, status=403, body=body, headers=bearer(token("u2")), state="guarded")
        yield Case(path=path, status=429, body=body, headers=bearer(token("u1")), state="limited")
    for path, body in TOLD.items():
        other = {**body, "session_id": "another"}
        yield Case(path=path, status=409, body=other, state="key used")


def looked() -> Iterator[Case]:
    """What is read rather than told."""
    allowed = {"authorization": f"Bearer {TOKEN}"}
    yield Case(method="get", path=LOOK, status=200, headers=allowed)
    yield Case(method="get", path=LOOK, status=401, state="guarded")
    yield Case(method="get", path=LOOK, status=403)
    yield Case(method="get", path=LOOK, status=400, headers=allowed, state="long")
    yield Case(method="get", path=LOOK, status=500, headers=allowed, state="broken")
    yield Case(method="get", path=LOOK, status=503, headers=allowed, state="starting")
    for state, status in (("compared", 200), ("well", 404), ("long", 400), ("no lake", 503)):
        yield Case(method="get", path=READ_OUT, status=status, headers=allowed, state=state)
    yield Case(method="get", path=READ_OUT, status=500, headers=allowed, state="broken")
    yield Case(method="get", path=READ_OUT, status=403)
    yield Case(method="get", path=READ_OUT, status=401, state="guarded")
    for path in ("/healthz", "/readyz", "/metrics"):
        yield Case(method="get", path=path, status=200)
    yield Case(method="get", path="/readyz", status=503, state="empty")


def any_body(path: str) -> dict[str, Any]:
    """What the path answers while the service is well."""
    plain: dict[str, dict[str, Any]] = {
        "/v1/similar": {"item_id": "mug-0"},
        "/v1/explain": {"user_id": "u1", "item_id": "mug-0"},
        BATCH: {"requests": [{"user_id": "u1"}]},
    }
    return TOLD.get(path) or plain.get(path) or {"user_id": "u1"}


CASES = [*answered(), *refused(), *looked()]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the tracebacks of faults made on purpose from being drawn, which takes a second each."""
    with capture_logs():
        yield


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CONTRACT.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def outside() -> Outside:
    made = Outside(settings=KNOWS_ADMINISTRATORS)
    made.online.users["u1"] = known_user()
    made.neighbors.beside["mug-0"] = {"lamp-1": 0.02}
    return made


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """One for all cases, since making it takes longer than any answer."""
    return create_app(KNOWS_ADMINISTRATORS)


@pytest.fixture
async def client(app: FastAPI, outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    outside.metrics = app.state.metrics
    app.state.admission = admission_of(KNOWS_ADMINISTRATORS)
    app.state.service = outside.service([*shop(), item("plain")])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        opened.headers["idempotency-key"] = "k"
        yield opened


async def bring_into(
    state: str,
    app: FastAPI,
    client: httpx.AsyncClient,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Let the service be in some trouble, or closed."""
    if state == "alone":
        away: tuple[PretendedServer, ...] = (outside.online, outside.vectors, outside.ranker)
        for one in (*away, outside.neighbors, outside.traces):
            one.away = True
    elif state == "listed":
        service = app.state.service
        writing = asyncio.create_task(service.evidence.run())
        assert (await client.post("/v1/personalize", json={"user_id": "u1"})).status_code == 200
        await service.evidence.drain(timeout_s=2)
        writing.cancel()
    elif state == "no log":
        outside.event_log.away = True
    elif state == "slow":
        monkeypatch.setattr("serving.gate.BODY_WITHIN_S", 0.02)
    elif state == "broken":
        monkeypatch.setattr("serving.app._service", lambda _: 1 / 0)
    elif state == "key used":
        for path, body in TOLD.items():
            assert (await client.post(path, json=body)).status_code in {202, 409}
    else:
        serve_otherwise(state, app, outside, tmp_path)


def serve_otherwise(state: str, app: FastAPI, outside: Outside, directory: Path) -> None:
    """Give the application another service, or other callers."""
    if state in {"guarded", "limited"}:
        app.state.admission = admission_of(guarded(directory))
    if state == "limited":
        outside.settings = Settings.model_validate({"limits": {"free": ONE_A_SECOND}})
        app.state.service = outside.service()
    elif state == "starting":
        app.state.service = None
    elif state == "empty":
        app.state.service = outside.service([])
    elif state in {"compared", "no lake"}:
        lake = directory / "lake"
        if state == "compared":
            fill(lake)
        service = replace(outside.service(), experiments=following(directory))
        ledger = Ledger(lake=lake)
        readouts = Readouts(ledger, executor=lambda: ThreadPoolExecutor(1))
        app.state.service = replace(service, readouts=readouts)


async def send(client: httpx.AsyncClient, case: Case) -> httpx.Response:
    user_id = "x" * 300 if case.state == "long" else "u1"
    experiment = "x" * 300 if case.state == "long" else "ranking"
    path = case.path.replace("{user_id}", user_id).replace("{experiment_id}", experiment)
    content = _content(case)
    headers = case.headers if case.method == "get" else {**JSON, **case.headers}
    return await client.request(case.method, path, content=content, headers=headers)


def _content(case: Case) -> str | AsyncIterator[bytes] | None:
    if case.state == "slow":
        return _without_end()
    return None if case.method == "get" else json.dumps(case.body)


async def _without_end() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_answers_keep_the_contract(
    app: FastAPI,
    client: httpx.AsyncClient,
    outside: Outside,
    published: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    case: Case,
) -> None:
    await bring_into(case.state, app, client, outside, monkeypatch, tmp_path)
    answer = await send(client, case)
    if case.state == "limited":
        answer = await send(client, case)
    assert answer.status_code == case.status, answer.text
    promised = published["paths"][case.path][case.method]["responses"][str(case.status)]
    if "content" in promised:
        schema = promised["content"][answer.headers["content-type"]]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": published["components"]})


def test_every_promise_is_held_against_an_answer(published: dict[str, Any]) -> None:
    promised = {
        (path, method, int(status))
        for path, operations in published["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
    }
    assert promised == {(case.path, case.method, case.status) for case in CASES}


def test_every_body_has_an_example_that_is_accepted(published: dict[str, Any]) -> None:
    for path, model in BODIES.items():
        body = published["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        name = body["schema"]["$ref"].rpartition("/")[2]
        for example in published["components"]["schemas"][name]["examples"]:
            schema = {**body["schema"], "components": published["components"]}
            jsonschema.validate(example, schema)
            assert model.model_validate_json(json.dumps(example))


def test_the_contract_is_up_to_date(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--check"]) == 0, "run `make contracts`"
    assert CONTRACT.read_text(encoding="utf-8") == contract()
    stale = tmp_path / "openapi.json"
    assert main(["--check"], file=stale) == 1
    assert capsys.readouterr().err == "openapi.json differs: run `python -m serving.publish`\n"
    assert main([], file=stale) == main(["--check"], file=stale) == 0


def test_the_contract_names_no_machine(published: dict[str, Any]) -> None:
    assert "servers" not in published
