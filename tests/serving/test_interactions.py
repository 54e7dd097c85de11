"""Document 001's ways to tell what users do: into the log once, and honest about what follows."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from domain.affinity import weight_of
from schemas.types import SignalPayload, UserEvent
from serving.app import create_app
from settings import Settings
from tests.serving.pretended import NOW_MS, Outside, count_of

CLICK = {"user_id": "u1", "item_id": "mug-0", "action": "click"}
HIDE = {"user_id": "u1", "item_id": "mug-0", "feedback_type": "hide"}


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def client(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr("serving.assembly.wall_clock_ms", lambda: NOW_MS)
    app = create_app(Settings())
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def events(outside: Outside) -> list[UserEvent]:
    return outside.event_log.records()


async def tell(client: httpx.AsyncClient, *, key: str | None = None, **body: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = await client.post("/interactions", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def object_to(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/feedback/negative", json={**HIDE, **fields})
    assert answer.status_code == 202, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def test_the_request_of_document_002(client: httpx.AsyncClient, outside: Outside) -> None:
    said = await tell(client, **CLICK)
    assert said == {"status": "accepted", "events_processed": 1, "duplicates": 0}
    ((topic, key, event),) = outside.event_log.taken
    assert (topic, key) == ("user-events", "u1")
    assert isinstance(event, UserEvent)
    assert (event.event_type, event.item_id, event.timestamp_ms) == ("click", "mug-0", NOW_MS)


async def test_every_field_of_document_001_becomes_part_of_the_event(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    await tell(
        client,
        user_id="u1",
        session_id="s1",
        interactions=[
            {
                "item_id": "mug-0",
                "event_type": "view",
                "timestamp": "2026-11-20T10:31:00Z",
                "duration_seconds": 1.5,
                "completion_rate": 0.75,
                "price": 4.5,
                "quantity": 2,
                "context": {
                    "recommendation_id": "req-1",
                    "position": 3,
                    "surface": "home_feed",
                    "page_type": "home",
                    "device_type": "mobile",
                    "platform": "ios",
                    "country": "US",
                    "region": "CA",
                    "city": "Davis",
                    "model_version": "v2",
                    "experiment_id": "e1",
                    "variant": "b",
                    "attributes": {"campaign": "spring"},
                },
            }
        ],
    )
    (event,) = events(outside)
    assert event == UserEvent(
        event_id=event.event_id,
        user_id="u1",
        event_type="view",
        timestamp_ms=1_795_170_660_000,
        item_id="mug-0",
        session_id="s1",
        duration_ms=1500,
        completion_rate=0.75,
        position=3,
        request_id="req-1",
        quantity=2,
        price=4.5,
        page_type="home",
        surface="home_feed",
        device_type="mobile",
        platform="ios",
        country="US",
        region="CA",
        city="Davis",
        model_version="v2",
        experiment_id="e1",
        variant="b",
        context={"campaign": "spring"},
    )


async def test_several_come_in_one_request(client: httpx.AsyncClient, outside: Outside) -> None:
    said = await tell(
        client,
        user_id="u1",
        session_id="s1",
        interactions=[
            {"item_id": "mug-0", "action": "click", "position": 2, "duration_ms": 10},
            {"item_id": "mug-1", "event_type": "share", "session_id": "s2"},
            {"item_id": "mug-0", "action": "click"},
        ],
    )
    assert (said["events_processed"], said["duplicates"]) == (2, 1)
    first, second = events(outside)
    assert (first.position, first.duration_ms, first.session_id) == (2, 10, "s1")
    assert (second.event_type, second.session_id) == ("share", "s2")
    assert count_of(
        outside.metrics, "freshet_feedback_events_total", action="click", outcome="duplicate"
    )


async def test_the_same_in_the_same_minute_counts_once_whatever_it_is_called(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    for second in ("00", "59"):
        await tell(client, **CLICK, timestamp=f"2026-11-20T10:31:{second}Z")
    again = {"user_id": "u1", "item_id": "mug-0", "event_type": "click"}
    said = await tell(client, **again, timestamp="2026-11-20T10:31:30Z")
    assert (said["events_processed"], said["duplicates"]) == (0, 1)
    await tell(client, **CLICK, timestamp="2026-11-20T10:32:00Z")
    await tell(client, **{**CLICK, "action": "view"}, timestamp="2026-11-20T10:31:00Z")
    await tell(client, **{**CLICK, "user_id": "u2"}, timestamp="2026-11-20T10:31:00Z")
    assert len(events(outside)) == 4
    assert len({event.event_id for event in events(outside)}) == 4


async def test_an_id_of_its_own_tells_interactions_apart(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    for name in ("a", "b", "a"):
        await tell(client, **CLICK, interaction_id=name)
    assert len(events(outside)) == 2


async def test_without_the_memory_a_repeated_one_has_the_same_event_id(
    client: httpx.AsyncClient, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.memory.away = True
    await tell(client, **CLICK)
    await tell(client, **CLICK)
    first, second = events(outside)
    assert first.event_id == second.event_id
    assert count_of(
        outside.metrics, "freshet_fallbacks_total", fallback="feedback:redis_unavailable"
    )


async def test_a_key_makes_a_repeat_the_same_in_a_later_minute(
    client: httpx.AsyncClient, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.memory.away = True
    await tell(client, key="k", **CLICK)
    monkeypatch.setattr("serving.assembly.wall_clock_ms", lambda: NOW_MS + 60_000)
    app = create_app(Settings())
    app.state.service = outside.service()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as later:
        await tell(later, key="k", **CLICK)
        await tell(later, key="other", **CLICK)
    first, second, third = (event.event_id for event in events(outside))
    assert first == second != third


async def test_a_key_repeats_the_answer_and_is_not_reused(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    first = await tell(client, key="k", **CLICK)
    assert await tell(client, key="k", **CLICK) == first
    assert len(events(outside)) == 1
    for path, body in [
        ("/interactions", {**CLICK, "item_id": "x"}),
        ("/v1/feedback/negative", HIDE),
    ]:
        other = await client.post(path, json=body, headers={"Idempotency-Key": "k"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("path", "body"), [("/interactions", CLICK), ("/v1/feedback/negative", HIDE)]
)
async def test_while_the_log_is_away_nothing_is_accepted(
    client: httpx.AsyncClient, outside: Outside, path: str, body: dict[str, Any]
) -> None:
    outside.event_log.away = True
    refused = await client.post(path, json=body)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert not outside.memory.deeds
    outside.event_log.away = False
    assert (await client.post(path, json=body)).status_code == 202


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, None),
        ({"interactions": [{"item_id": "a", "action": "click"}] * 2}, "interactions.0"),
    ],
)
async def test_what_the_job_would_refuse_is_refused_at_once(
    client: httpx.AsyncClient, outside: Outside, fields: dict[str, Any], field: str | None
) -> None:
    old = "2020-01-01T00:00:00Z"
    body: dict[str, Any] = {**CLICK, "timestamp": old}
    if fields:
        entries = [{**one, "timestamp": old} for one in fields["interactions"]]
        body = {"user_id": "u1", "interactions": entries}
    answer = await client.post("/interactions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("field")) == (400, field)
    assert "too_old" in error["message"]
    assert not events(outside)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"user_id": "u1"}, "needs item_id and action, or a list of interactions"),
        ({"user_id": "u1", "interactions": []}, "needs item_id and action"),
        ({"user_id": "u1", "item_id": "a"}, "needs item_id and action"),
        ({**CLICK, "event_type": "click"}, "has both event_type and action"),
        (
            {**CLICK, "duration_ms": 1, "duration_seconds": 1},
            "both duration_seconds and duration_ms",
        ),
        ({**CLICK, "position": 1, "context": {"position": 1}}, "has position twice"),
        (
            {**CLICK, "interactions": [{"item_id": "a", "action": "click"}]},
            "has interactions and action; say it in each interaction",
        ),
        (
            {"user_id": "u1", "interactions": [{"item_id": "a"}]},
            "has neither event_type nor action",
        ),
        ({**CLICK, "action": "eat"}, "action is"),
        (
            {
                "user_id": "u1",
                "interactions": [{"item_id": "a", "action": "view", "context": {"x": 1}}],
            },
            "interactions.0.context.x is not a field",
        ),
    ],
)
async def test_wrong_interactions_are_named(
    client: httpx.AsyncClient, outside: Outside, body: dict[str, Any], says: str
) -> None:
    answer = await client.post("/interactions", json=body)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]["message"]
    assert not events(outside)


@pytest.mark.parametrize(
    ("kind", "action"),
    [("not_interested", "item_blocked"), ("hide", "item_blocked"), ("report", "item_reported")],
)
async def test_feedback_against_an_item_is_a_dismissal_that_says_why(
    client: httpx.AsyncClient, outside: Outside, kind: str, action: str
) -> None:
    said = await object_to(
        client,
        feedback_type=kind,
        reason="already_seen",
        recommendation_id="req-1",
        session_id="s1",
        timestamp="2026-11-20T10:31:00Z",
    )
    assert said == {"status": "accepted", "action_taken": action, "duplicate": False}
    (event,) = events(outside)
    assert event == UserEvent(
        event_id=event.event_id,
        user_id="u1",
        event_type="dismiss",
        timestamp_ms=1_795_170_660_000,
        item_id="mug-0",
        session_id="s1",
        request_id="req-1",
        context={"feedback_type": kind, "reason": "already_seen"},
    )


async def test_feedback_against_a_category_is_what_the_job_learns_tastes_from(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    said = await object_to(client, scope="category")
    assert said["action_taken"] == "category_demoted"
    (event,) = events(outside)
    assert (event.event_type, event.item_id) == ("preference_update", "mug-0")
    assert event.signal == SignalPayload(direction="negative", strength=1.0)
    assert weight_of(event) == -1.0
    assert event.context == {"feedback_type": "hide"}


async def test_the_same_feedback_counts_once_and_another_type_is_another(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    assert (await object_to(client))["duplicate"] is False
    assert (await object_to(client))["duplicate"] is True
    assert (await object_to(client, feedback_type="report"))["duplicate"] is False
    assert (await object_to(client, scope="category"))["duplicate"] is False
    assert len(events(outside)) == 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"feedback_type": "meh"}, "feedback_type is"),
        ({"scope": "creator"}, "'item' or 'category'"),
        ({"feedback_type": "report", "scope": "category"}, "a report is of an item"),
        ({"reason": ""}, "reason is"),
    ],
)
async def test_wrong_negative_feedback_is_named(
    client: httpx.AsyncClient, outside: Outside, fields: dict[str, Any], says: str
) -> None:
    answer = await client.post("/v1/feedback/negative", json={**HIDE, **fields})
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert not events(outside)
