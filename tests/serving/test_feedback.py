from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from domain.events import ACTION_WEIGHTS
from schemas.types import UserEvent
from serving.errors import ApiError
from serving.requests import FeedbackRequest
from tests.serving.pretended import NOW_MS, Outside, count_of

CLICK = {"item_id": "mug-0", "action": "click"}


@pytest.fixture
def outside() -> Outside:
    return Outside()


def request(*entries: dict[str, Any], **fields: Any) -> FeedbackRequest:
    return FeedbackRequest.model_validate(
        {"user_id": "u1", "request_id": "r1", **fields, "feedback": list(entries or (CLICK,))}
    )


async def accept(
    outside: Outside, asked: FeedbackRequest, *, key: str | None = None
) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(
        await outside.service().intake.accept(asked, idempotency_key=key)
    )
    return answer


def events(outside: Outside) -> list[UserEvent]:
    return outside.event_log.records()


async def test_each_entry_becomes_an_event_of_the_user(outside: Outside) -> None:
    full = {
        "item_id": "mug-0",
        "action": "purchase",
        "position": 3,
        "duration_ms": 5000,
        "completion_rate": 0.5,
        "timestamp": "2026-11-20T10:31:00Z",
        "reward_override": 0.8,
        "price": 4.5,
        "quantity": 2,
    }
    asked = request(
        full,
        {"item_id": "lamp-0", "action": "view"},
        session_id="s1",
        context={
            "page_type": "home",
            "device": "mobile",
            "platform": "ios",
            "geo": {"country": "GB", "region": "ENG", "city": "London"},
        },
    )
    answer = await accept(outside, asked)
    assert (answer["status"], answer["processed"], answer["duplicates"]) == ("accepted", 2, 0)
    assert [(topic, key) for topic, key, _ in outside.event_log.taken] == [
        ("user-events", "u1"),
        ("user-events", "u1"),
    ]
    first, second = events(outside)
    assert first == UserEvent(
        event_id=first.event_id,
        user_id="u1",
        event_type="purchase",
        timestamp_ms=1_795_170_660_000,
        item_id="mug-0",
        session_id="s1",
        duration_ms=5000,
        completion_rate=0.5,
        position=3,
        request_id="r1",
        quantity=2,
        price=4.5,
        reward_override=0.8,
        page_type="home",
        device_type="mobile",
        platform="ios",
        country="GB",
        region="ENG",
        city="London",
    )
    assert (second.event_type, second.item_id) == ("view", "lamp-0")
    assert first.event_id != second.event_id
    assert count_of(
        outside.metrics, "freshet_feedback_events_total", action="view", outcome="accepted"
    )


async def test_the_same_key_gives_the_same_answer_and_no_second_event(outside: Outside) -> None:
    first = await accept(outside, request(), key="k")
    assert await accept(outside, request(), key="k") == first
    assert len(events(outside)) == 1


async def test_a_key_with_another_body_is_refused(outside: Outside) -> None:
    await accept(outside, request(), key="k")
    with pytest.raises(ApiError) as refused:
        await accept(outside, request({"item_id": "mug-1", "action": "click"}), key="k")
    assert (refused.value.status_code, refused.value.code) == (409, "idempotency_key_reused")
    assert len(events(outside)) == 1


@pytest.mark.parametrize("stored", [b"", b"{", b"[" * 3_000, b"5", b'{"of": "x", "answer": {}}'])
async def test_a_remembered_answer_that_cant_be_read_counts_as_none(
    outside: Outside, stored: bytes
) -> None:
    await accept(outside, request(), key="k")
    outside.memory.deeds.clear()
    outside.memory.answers["u1", "k"] = stored
    with capture_logs() as logs:
        assert (await accept(outside, request(), key="k"))["processed"] == 1
    assert [entry["log_level"] for entry in logs] == ["warning"]
    first, again = events(outside)
    assert first.event_id == again.event_id


async def test_the_same_deed_of_the_same_request_counts_once_a_minute(outside: Outside) -> None:
    await accept(outside, request())
    again = await accept(outside, request(CLICK, {"item_id": "mug-1", "action": "click"}))
    assert (again["processed"], again["duplicates"]) == (1, 1)
    assert [event.item_id for event in events(outside)] == ["mug-0", "mug-1"]
    assert count_of(
        outside.metrics, "freshet_feedback_events_total", action="click", outcome="duplicate"
    )


async def test_another_request_or_another_action_is_not_a_duplicate(outside: Outside) -> None:
    await accept(outside, request())
    await accept(outside, request(request_id="r2"))
    await accept(outside, request({"item_id": "mug-0", "action": "purchase"}))
    assert len(events(outside)) == 3


async def test_a_deed_twice_in_one_body_counts_once(outside: Outside) -> None:
    answer = await accept(outside, request(CLICK, CLICK))
    assert (answer["processed"], answer["duplicates"]) == (1, 1)
    assert len(events(outside)) == 1


async def test_without_the_memory_feedback_is_still_taken(outside: Outside) -> None:
    outside.memory.away = True
    assert (await accept(outside, request()))["processed"] == 1
    assert len(events(outside)) == 1
    fallback = "feedback:redis_unavailable"
    assert count_of(outside.metrics, "freshet_fallbacks_total", fallback=fallback) == 2


async def test_a_repeated_request_that_slips_past_the_memory_has_the_same_event_ids(
    outside: Outside,
) -> None:
    outside.memory.away = True
    timed = {**CLICK, "timestamp": "2026-11-20T10:31:00Z"}
    await accept(outside, request(), key="k")
    await accept(outside, request(), key="k")
    await accept(outside, request(timed))
    await accept(outside, request(timed))
    ids = [event.event_id for event in events(outside)]
    assert ids[0] == ids[1]
    assert ids[2] == ids[3]
    assert ids[0] != ids[2]


async def test_while_the_log_is_away_nothing_is_accepted_nor_remembered(outside: Outside) -> None:
    outside.event_log.away = True
    with pytest.raises(ApiError) as refused:
        await accept(outside, request(), key="k")
    assert (refused.value.status_code, refused.value.code) == (503, "unavailable")
    assert refused.value.headers == {"Retry-After": "2"}
    assert "Idempotency-Key" in refused.value.hint
    assert not outside.memory.deeds
    assert not outside.memory.answers

    outside.event_log.away = False
    assert (await accept(outside, request(), key="k"))["processed"] == 1


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [("2020-01-01T00:00:00Z", "too_old"), ("2099-01-01T00:00:00Z", "in_future")],
)
async def test_what_the_job_would_refuse_is_refused_at_once(
    outside: Outside, timestamp: str, reason: str
) -> None:
    with pytest.raises(ApiError, match=reason) as refused:
        await accept(outside, request(CLICK, {**CLICK, "timestamp": timestamp}))
    assert (refused.value.status_code, refused.value.field) == (400, "feedback.1")
    assert not events(outside)


async def test_an_entry_without_a_time_happened_now(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.assembly.wall_clock_ms", lambda: NOW_MS)
    await accept(outside, request())
    assert events(outside)[0].timestamp_ms == NOW_MS


def test_every_action_means_something_to_the_job() -> None:
    schema = FeedbackRequest.model_json_schema()
    actions = set(schema["$defs"]["Feedback"]["properties"]["action"]["enum"])
    assert {"click", "view", "add_to_cart", "purchase", "dismiss"} <= actions
    assert actions - {"scroll"} <= set(ACTION_WEIGHTS)
