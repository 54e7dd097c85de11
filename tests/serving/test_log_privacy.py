"""What stands in the log, at every level: no secret, and nobody's data; and who a line is about."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import grpc
import httpx
import pytest
import structlog
from fastapi.routing import APIRoute

from freshet.logs import QUIET, configure
from serving.access import ACCESS
from serving.admission import admission_of
from serving.app import create_app
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from serving.requests import PersonalizeRequest
from serving.run import configure_logging
from serving.spans import follow
from settings import Settings
from settings.model import TracingSettings
from stores.errors import StoreUnavailable
from tests.serving.bandit.calling import channel_to
from tests.serving.callers_at_hand import (
    ADMIN_TOKEN,
    JWT_SECRET,
    bearer,
    every_kind,
    guarded,
    token,
)
from tests.serving.collector import collecting
from tests.serving.model_server import model_server
from tests.serving.pretended import (
    Outside,
    PretendedLimits,
    PretendedLog,
    PretendedLookup,
    PretendedServer,
    item,
    known_user,
)

USER, ITEM, SESSION = "ada.lovelace@example.org", "an-item-of-hers", "a-visit-of-hers"
WORDS, IDEMPOTENCY_KEY = "it-reminds-me-of-my-divorce", "a-key-of-her-request"
CONTEXT = {"page_type": WORDS, "geo": {"city": WORDS}}
LIST = {
    "user_id": USER,
    "session_id": SESSION,
    "context": CONTEXT,
    "constraints": {"exclude_items": [ITEM], "categories": [WORDS]},
}
HERS = {"user_id": USER}
DEED = {"item_id": ITEM, "action": "click"}
BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/personalize": LIST,
    "/v1/feedback": {"user_id": USER, "session_id": SESSION, "feedback": [DEED]},
    "/v1/recommendations": {"user_id": USER, "session_id": SESSION},
    "/v1/similar": {"user_id": USER, "item_id": "mug-0", "exclude_items": [ITEM]},
    "/v1/explain": {"user_id": USER, "item_id": ITEM},
    "/v1/feedback/negative": {
        "user_id": USER,
        "item_id": ITEM,
        "feedback_type": "not_interested",
        "reason": WORDS,
    },
    "/interactions": {
        "user_id": USER,
        **DEED,
        "context": {"city": WORDS, "attributes": {WORDS: WORDS}},
    },
}
Format = Literal["text", "json"]


@pytest.fixture
def settled() -> Iterator[None]:
    """Logging as it was, afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    # The client of this test has a log of its own.
    client = logging.getLogger("httpx")
    client.disabled = True
    yield
    client.disabled = False
    structlog.reset_defaults()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)


def talkative(log_format: Format) -> None:
    """Logging as `freshet api` sets it up, of all that can be logged."""
    configured(log_format, level="debug")


def configured(log_format: Format, *, level: str) -> None:
    configure(log_format, level=level, private=True)
    configure_logging()
    # Or the loggers of modules would stay like this beyond the test.
    structlog.configure(cache_logger_on_first_use=False)


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    made = Outside(settings=guarded(tmp_path, access_log=True, kept_feedback=0))
    made.online.users[USER] = known_user(user_id=USER)
    return made


@asynccontextmanager
async def open_to(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    if app.state.tracer:
        await asyncio.to_thread(app.state.tracer.close)
    follow(None)


def routes() -> list[tuple[str, str]]:
    """Every method and path, with the user where the path has room for something."""
    found = []
    for route in create_app(Settings()).routes:
        if isinstance(route, APIRoute):
            assert route.path in ACCESS
            found += [(method, route.path) for method in sorted(route.methods or ())]
    return found


async def ask(
    client: httpx.AsyncClient, method: str, path: str, headers: Mapping[str, str]
) -> list[int]:
    """One request, well and ill made."""
    url = path.partition("{")[0] + (USER if "{" in path else "")
    sent = {**headers, "Idempotency-Key": IDEMPOTENCY_KEY}
    if method == "GET":
        return [(await client.get(f"{url}?of={USER}", headers=sent)).status_code]
    body = BODIES.get(path, LIST)
    ill = (
        json.dumps({**body, "count": USER}),
        json.dumps({**body, "user_id": [USER]}),
        json.dumps(body)[:-1],
        f"{USER} {WORDS}",
    )
    answers = [
        await client.request(
            method, url, content=one, headers={**sent, "content-type": "application/json"}
        )
        for one in (json.dumps(body), *ill)
    ]
    odd = await client.request(method, url, content=USER, headers={"content-type": WORDS, **sent})
    return [one.status_code for one in (*answers, odd)]


def callers() -> dict[str, Mapping[str, str]]:
    return {**every_kind(), "herself": bearer(token(USER)), "late": bearer(token(USER, exp=1))}


def fail(monkeypatch: pytest.MonkeyPatch, made: Callable[[], Exception]) -> None:
    """Have every server fail with something that quotes the request; not so early as at limits."""
    monkeypatch.setattr(PretendedLimits, "_answer", PretendedServer._answer, raising=False)

    async def failing(*_: object, **__: object) -> None:
        raise made()

    monkeypatch.setattr(PretendedServer, "_answer", failing)
    monkeypatch.setattr(PretendedLog, "append", failing)
    monkeypatch.setattr(PretendedLookup, "known", failing)


def quoting() -> str:
    return f"what of {USER}, {ITEM}, {SESSION} and {WORDS}?"


FAILURES: Mapping[str, Callable[[], Exception]] = {
    "away": lambda: StoreUnavailable("Redis", quoting()),
    "broken": lambda: KeyError(quoting()),
    "broken together": lambda: ExceptionGroup(quoting(), [ValueError(quoting())]),
}


def no_secret_in(logged: str) -> None:
    sent = [headers["Authorization"].split()[1] for headers in callers().values() if headers]
    of_keys = [one.partition("_")[2] for one in sent if one.startswith("fk_")]
    secrets = (ADMIN_TOKEN, JWT_SECRET, "Bearer ", *sent, *of_keys)
    for planted in (*secrets, USER, ITEM, SESSION, WORDS, IDEMPOTENCY_KEY):
        assert planted not in logged


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_request_is_in_the_log(
    settled: None, outside: Outside, capsys: pytest.CaptureFixture[str], log_format: Format
) -> None:
    talkative(log_format)
    statuses = set()
    async with open_to(outside) as client:
        for headers in callers().values():
            for method, path in routes():
                statuses |= set(await ask(client, method, path, headers))
        await client.get(f"/{USER}")
        await client.request(USER.upper(), f"/{USER}")
    assert {200, 202, 400, 401, 403, 404, 415} <= statuses
    logged = capsys.readouterr().err
    assert logged.count("answered") > len(statuses)
    no_secret_in(logged)


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_nor_is_what_servers_and_faults_say_of_it(
    settled: None,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
    log_format: Format,
) -> None:
    talkative(log_format)
    fail(monkeypatch, FAILURES[failure])
    statuses = []
    async with open_to(outside) as client:
        for caller in ("serve key", "feedback key", "admin key"):
            for method, path in routes():
                statuses += await ask(client, method, path, callers()[caller])
    assert (503 if failure == "away" else 500) in statuses
    logged = capsys.readouterr().err
    said = "dependency is away" if failure == "away" else "unexpected error"
    assert said in logged
    no_secret_in(logged)


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("failure", [None, *FAILURES])
async def test_nor_are_calls_over_grpc(
    settled: None,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failure: str | None,
    log_format: Format,
) -> None:
    talkative(log_format)
    if failure:
        fail(monkeypatch, FAILURES[failure])
    codes = set()
    admission = admission_of(outside.settings)
    async with channel_to(outside, admission=admission) as channel:
        stub: Any = BanditServiceStub(channel)
        for headers in callers().values():
            metadata = tuple((name.lower(), value) for name, value in headers.items())
            for call, asked in (
                (stub.Sample, pb.SampleRequest(item_ids=[ITEM], context_segment=WORDS)),
                (stub.Sample, pb.SampleRequest(item_ids=[ITEM], context_segment="mobile_us_day")),
                (stub.UpdatePosterior, pb.UpdateRequest(item_id=ITEM, update_id=SESSION)),
            ):
                try:
                    await call(asked, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    codes.add(error.code())
    assert grpc.StatusCode.UNAUTHENTICATED in codes
    no_secret_in(capsys.readouterr().err)


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_fault_is_told_by_its_kind_and_place(
    settled: None,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: Format,
) -> None:
    talkative(log_format)
    fail(monkeypatch, FAILURES["broken"])
    async with open_to(outside) as client:
        answer = await client.post("/v1/personalize", json=LIST, headers=callers()["serve key"])
    assert answer.status_code == 500
    (line,) = [one for one in logged_objects(capsys, log_format) if "unexpected error" in one]
    assert "KeyError" in line
    assert "pipeline.py" in line
    assert answer.headers["x-request-id"] in line


def logged_objects(capsys: pytest.CaptureFixture[str], log_format: Format) -> list[str]:
    """What was logged, message by message: as text one may have many lines."""
    logged = capsys.readouterr().err
    return logged.splitlines() if log_format == "json" else logged.split("\n20")


async def test_every_line_about_a_request_has_its_ids(
    settled: None, outside: Outside, capsys: pytest.CaptureFixture[str]
) -> None:
    talkative("json")
    outside.ranker.away = True
    with collecting() as collector:
        tracing = TracingSettings(endpoint=collector.url, sample=1)
        outside.settings = outside.settings.model_copy(update={"tracing": tracing})
        async with open_to(outside) as client:
            answers = [
                await client.post("/v1/personalize", json=HERS, headers=callers()["serve key"])
                for _ in range(4)
            ]
    lines = [json.loads(line) for line in logged_objects(capsys, "json")]
    about = [one for one in lines if one["event"] in {"answered", "dependency is away"}]
    assert [one["event"] for one in about].count("dependency is away") == 1
    assert {one["request_id"] for one in about} == {
        answer.headers["x-request-id"] for answer in answers
    }
    assert all(len(one["trace_id"]) == 32 for one in about)


@pytest.mark.parametrize("asked_for", [False, True])
async def test_there_is_a_line_for_each_answer_where_it_is_asked_for(
    settled: None,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    asked_for: bool,  # noqa: FBT001
) -> None:
    configured("json", level="info")
    outside.settings = guarded(tmp_path, access_log=asked_for, kept_feedback=0)
    async with open_to(outside) as client:
        await client.post("/v1/personalize", json=LIST, headers=callers()["serve key"])
        await client.get(f"/v1/debug/users/{USER}", headers=bearer(ADMIN_TOKEN))
    lines = [json.loads(line) for line in logged_objects(capsys, "json")]
    told = [(one["method"], one["path"], one["status"], one["ms"] > 0) for one in lines]
    asked = [
        ("POST", "/v1/personalize", 200, True),
        ("GET", "/v1/debug/users/{user_id:any_id}", 200, True),
    ]
    assert told == (asked if asked_for else [])


def test_clients_that_log_keys_and_values_when_debugged_are_quiet(settled: None) -> None:
    configure("text", level="debug", private=True)
    assert {"kafka", "pymilvus", "grpc"} <= set(QUIET)
    for name in QUIET:
        assert not logging.getLogger(f"{name}.some.module").isEnabledFor(logging.ERROR)


async def test_a_task_that_failed_unseen_is_told_without_what_it_said(
    settled: None, capsys: pytest.CaptureFixture[str]
) -> None:
    talkative("json")

    async def failing() -> None:
        raise KeyError(quoting())

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    logged = capsys.readouterr().err
    assert "Task exception was never retrieved" in logged
    assert "KeyError" in logged
    no_secret_in(logged)


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_what_a_model_is_asked_and_its_key_are_not_in_the_log(
    settled: None,
    capsys: pytest.CaptureFixture[str],
    log_format: Format,
) -> None:
    configured(log_format, level="info")
    async with model_server(status=401) as model:
        reasoner = model.settings(api_key="sk-very-secret").model_dump()
        outside = Outside(
            settings=Settings.model_validate(
                {"reasoner": reasoner, "serving": {"kept_feedback": 0}}
            ),
            chat=model.client(**reasoner),
        )
        asked = PersonalizeRequest.model_validate(
            {"user_id": USER, "options": {"include_explanation": True}}
        )
        service = outside.service([item(ITEM, title="a-title")])
        await service.pipeline.personalize(asked, request_id="r1")
        assert len(model.asked) == 1
    logged = capsys.readouterr().err
    assert "the model refuses to answer" in logged
    for secret in ("sk-very-secret", USER, ITEM, "a-title"):
        assert secret not in logged
