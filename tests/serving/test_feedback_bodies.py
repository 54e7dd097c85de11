"""POST /v1/feedback in both documents' shapes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.types import UserEvent
from serving.app import create_app
from settings import Settings
from settings.model import TierLimits
from tests.serving.callers_at_hand import bearer, guarded, token
from tests.serving.pretended import KEEPS_NOTHING, Outside

CLICK = {"item_id": "mug-0", "event_type": "click"}
# As document 001 prints it, but of today.
DOCUMENTED = {
    "user_id": "u1",
    "events": [
        {
            **CLICK,
            "timestamp": "2026-11-20T10:31:00Z",
            "context": {"recommendation_id": "req_xyz789", "position": 3, "surface": "home_feed"},
        },
        {
            "item_id": "mug-0",
            "event_type": "view",
            "timestamp": "2026-11-20T10:31:00Z",
            "duration_seconds": 120,
            "completion_rate": 0.75,
        },
    ],
}


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(KEEPS_NOTHING)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def events(outside: Outside) -> list[UserEvent]:
    return outside.event_log.records()


async def test_the_example_of_document_001_is_taken_and_answered_in_its_words(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    answer = await client.post("/v1/feedback", json=DOCUMENTED)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"status": "accepted", "events_processed": 2, "duplicates": 0}
    click, view = events(outside)
    assert (click.event_type, click.request_id, click.position) == ("click", "req_xyz789", 3)
    assert (click.surface, click.timestamp_ms) == ("home_feed", 1_795_170_660_000)
    assert (view.event_type, view.duration_ms, view.completion_rate) == ("view", 120_000, 0.75)


async def test_the_same_told_at_interactions_is_the_same(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    await client.post("/v1/feedback", json=DOCUMENTED)
    told = {"user_id": "u1", "interactions": DOCUMENTED["events"]}
    again = await client.post("/interactions", json=told)
    assert again.json() == {"status": "accepted", "events_processed": 0, "duplicates": 2}
    assert len(events(outside)) == 2


async def test_a_key_repeats_either_shape_and_joins_no_two(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await client.post("/v1/feedback", json=DOCUMENTED, headers=headers)
    again = await client.post("/v1/feedback", json=DOCUMENTED, headers=headers)
    assert (again.status_code, again.content) == (202, first.content)
    other = {"user_id": "u1", "feedback": [{"item_id": "mug-0", "action": "click"}]}
    refused = await client.post("/v1/feedback", json=other, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("changed", "field", "code", "says"),
    [
        ({"feedback": []}, None, "invalid_value", "has both feedback and events; give one"),
        ({"events": []}, "events", "invalid_value", "at least 1 item"),
        ({"events": None}, "events", "invalid_value", "should be a valid list"),
        ({"events": [CLICK] * 101}, "events", "invalid_value", "at most 100"),
        ({"events": [5]}, "events.0", "invalid_value", "is 5"),
        ({"events": [{"item_id": "a"}]}, "events.0", "invalid_value", "neither event_type nor"),
        ({"events": [{**CLICK, "x": 1}]}, "events.0.x", "unknown_field", "is not a field"),
        ({"request_id": "r"}, "request_id", "unknown_field", "is not a field"),
        ({"context": {}}, "context", "unknown_field", "is not a field"),
        ({"user_id": 5}, "user_id", "invalid_value", "user_id is 5"),
        (
            {"events": [{**CLICK, "timestamp": "2020-01-01T00:00:00Z"}]},
            "events.0",
            "invalid_value",
            "too_old",
        ),
    ],
)
async def test_what_is_wrong_with_events_is_named(
    client: httpx.AsyncClient,
    outside: Outside,
    changed: dict[str, Any],
    field: str | None,
    code: str,
    says: str,
) -> None:
    answer = await client.post("/v1/feedback", json={**DOCUMENTED, **changed})
    error = answer.json()["error"]
    assert (answer.status_code, error.get("field"), error["code"]) == (400, field, code), error
    assert says in error["message"]
    assert not events(outside)


async def test_the_hint_is_of_the_shape_that_was_sent(client: httpx.AsyncClient) -> None:
    async def hint(body: dict[str, Any]) -> str:
        answer = await client.post("/v1/feedback", json={"user_id": "u1", **body})
        return str(answer.json()["error"]["hint"])

    assert await hint({"events": [CLICK], "x": 1}) == "known here: user_id, session_id, events"
    assert await hint({"events": [{**CLICK, "item": 1}]}) == "did you mean item_id?"
    entry = {"item_id": "a", "action": "click", "positon": 1}
    assert await hint({"feedback": [entry]}) == "did you mean position?"
    assert await hint({"feedback": [entry], "sesion_id": 1}) != ""


async def test_a_token_reaches_its_user_alone_and_limits_count_in_either_shape(
    outside: Outside, tmp_path: Path
) -> None:
    one = dict.fromkeys(TierLimits.model_fields, 1)
    outside.settings = guarded(tmp_path, kept_feedback=0).model_copy(
        update={"limits": Settings.model_validate({"limits": {"free": one}}).limits}
    )
    app = create_app(outside.settings)
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        statuses = [
            (await client.post("/v1/feedback", json=DOCUMENTED, headers=bearer(token(user))))
            for user in ("u2", "u1", "u1")
        ]
    assert [answer.status_code for answer in statuses] == [403, 202, 429]
