"""POST /v1/personalize/batch: each request is answered or refused by itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from serving.app import create_app
from serving.stages.admit import admit
from settings import Settings
from settings.model import TierLimits
from tests.serving.callers_at_hand import ADMIN_TOKEN, bearer, guarded, token
from tests.serving.pretended import Outside, count_of, known_user

PATH = "/v1/personalize/batch"
FOUR = {**dict.fromkeys(TierLimits.model_fields, 100), "personalize": 4}


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    made = Outside(settings=limited(tmp_path))
    made.online.users["u1"] = known_user()
    return made


def limited(directory: Path, **serving: Any) -> Settings:
    """A user of the free tier may ask for four lists a second."""
    limits = Settings.model_validate({"limits": {"free": FOUR}}).limits
    return guarded(directory, kept_feedback=0, **serving).model_copy(update={"limits": limits})


@asynccontextmanager
async def client_of(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=bearer(ADMIN_TOKEN)
    ) as opened:
        yield opened


async def post(client: httpx.AsyncClient, path: str, body: Any, **headers: str) -> httpx.Response:
    """A request that may have halves of characters in it."""
    sent = {"content-type": "application/json", **headers}
    return await client.post(path, content=json.dumps(body), headers=sent)


async def ask(
    outside: Outside, *requests: Any, headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    async with client_of(outside) as client:
        answer = await post(client, PATH, {"requests": list(requests)}, **(headers or {}))
    assert answer.status_code == 200, answer.text
    answers: list[dict[str, Any]] = answer.json()["answers"]
    assert len(answers) == len(requests)
    return answers


async def test_answers_are_those_of_single_requests_in_their_order(outside: Outside) -> None:
    asked = [
        {"user_id": user, "constraints": {"count": count}, "options": {"exploration_rate": 0}}
        for user, count in (("u1", 3), ("nobody", 2), ("u1", 1))
    ]
    answers = await ask(outside, *asked)
    async with client_of(outside) as client:
        alone = [(await client.post("/v1/personalize", json=one)).json() for one in asked]
    for one, single in zip(answers, alone, strict=True):
        assert one.keys() == {"status", "answer"}
        assert one["answer"].keys() == single.keys()
        assert (one["status"], one["answer"]["user_id"]) == (200, single["user_id"])
        assert one["answer"]["items"] == single["items"]


async def test_each_has_an_id_and_an_impression_of_its_own(outside: Outside) -> None:
    async with client_of(outside) as client:
        answer = await client.post(PATH, json={"requests": [{"user_id": "u1"}] * 3})
    told = answer.json()
    ids = {one["answer"]["request_id"] for one in told["answers"]}
    assert told["request_id"] == answer.headers["x-request-id"]
    assert len(ids | {told["request_id"]}) == 4


async def test_a_wrong_one_is_refused_alone_as_it_would_be_alone(outside: Outside) -> None:
    wrong: list[Any] = [
        {"user_id": 5},
        {},
        5,
        [],
        {"user_id": "u", "sesion_id": "s"},
        {"user_id": "\ud800"},
        {"user_id": "u", "context": {"timestamp": 5}},
    ]
    answers = await ask(outside, {"user_id": "u1"}, *wrong, {"user_id": "nobody"})
    assert [one["status"] for one in answers] == [200, *[400] * len(wrong), 200]
    assert answers[5]["error"]["hint"] == "did you mean session_id?"
    assert len({one["error"]["request_id"] for one in answers[1:-1]}) == len(wrong)
    assert count_of(outside.metrics, "freshet_errors_total", code="unknown_field") == 1
    async with client_of(outside) as client:
        for one, sent in zip(answers[1:-1], wrong, strict=True):
            single = (await post(client, "/v1/personalize", sent)).json()["error"]
            assert one["error"] | {"request_id": ""} == single | {"request_id": ""}


async def test_a_token_reaches_its_user_alone_in_each(outside: Outside) -> None:
    answers = await ask(
        outside, {"user_id": "u1"}, {"user_id": "u2"}, headers=dict(bearer(token("u1")))
    )
    assert [one["status"] for one in answers] == [200, 403]
    assert "of another user" in answers[1]["error"]["message"]
    assert "answer" not in answers[1]


async def test_each_counts_against_the_limit_of_its_user(outside: Outside) -> None:
    answers = await ask(outside, *[{"user_id": "u1"}] * 6, headers=dict(bearer(token("u1"))))
    assert sorted(one["status"] for one in answers) == [200] * 4 + [429] * 2
    refused = next(one for one in answers if one["status"] == 429)
    assert refused["error"]["code"] == "rate_limited"
    assert refused["retry_after_s"] == 1


async def test_a_fault_in_one_is_no_fault_of_the_others(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: Any, **rest: Any) -> Any:
        return 1 / 0 if request.user_id == "bad" else admit(request, **rest)

    monkeypatch.setattr("serving.pipeline.admit", broken)
    with capture_logs() as logs:
        answers = await ask(outside, {"user_id": "u1"}, {"user_id": "bad"}, {"user_id": "u2"})
    assert [one["status"] for one in answers] == [200, 500, 200]
    assert answers[1]["error"]["code"] == "internal"
    assert "division" not in str(answers[1])
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["unexpected error"]


async def test_their_time_is_that_of_one(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines = []

    def watched(request: Any, **rest: Any) -> Any:
        deadlines.append(rest["deadline"])
        return admit(request, **rest)

    monkeypatch.setattr("serving.pipeline.admit", watched)
    await ask(outside, *[{"user_id": "u1"}] * 3)
    assert len(deadlines) == 3
    assert deadlines[0] is deadlines[1] is deadlines[2]
    assert deadlines[0].total_s == outside.settings.serving.deadline_ms / 1000


@pytest.mark.parametrize(
    ("count", "says"),
    [(0, "at least 1 item"), (17, "requests has 17; at most 16"), (101, "at most 100 items")],
)
async def test_too_many_or_none_are_refused_at_once(
    outside: Outside, count: int, says: str
) -> None:
    async with client_of(outside) as client:
        answer = await client.post(PATH, json={"requests": [{"user_id": "u1"}] * count})
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (400, "requests")
    assert says in error["message"]
    assert outside.limits.calls == 0


async def test_how_many_may_be_asked_for_is_a_setting(outside: Outside, tmp_path: Path) -> None:
    outside.settings = limited(tmp_path, most_in_batch=1)
    assert len(await ask(outside, {"user_id": "u1"})) == 1
    async with client_of(outside) as client:
        answer = await client.post(PATH, json={"requests": [{"user_id": "u1"}] * 2})
    assert "serving.most_in_batch" in answer.json()["error"]["hint"]
