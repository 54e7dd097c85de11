from dataclasses import replace
from math import inf, nan
from typing import Any, get_args

import pytest

from domain.events import ACTION_WEIGHTS, EventLimits, RefusalReason, refusal
from schemas.types import EventType, UserEvent

LIMITS = EventLimits(max_age_ms=10_000, max_ahead_ms=500)
LOG_TIME_MS = 1_000_000
GOOD = UserEvent(
    event_id="e1",
    user_id="u1",
    event_type="view",
    timestamp_ms=LOG_TIME_MS,
    item_id="i1",
    session_id="s1",
    duration_ms=0,
    completion_rate=1.0,
    position=1,
    quantity=1,
    price=0.0,
)


def seen(event: UserEvent, key: bytes | None = b"u1") -> tuple[str, str] | None:
    found = refusal(event, key=key, log_time_ms=LOG_TIME_MS, limits=LIMITS)
    return None if found is None else (found.reason, found.detail)


def test_a_good_event_is_taken() -> None:
    assert seen(GOOD) is None


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"event_type": "unknown"}, "unknown_event_type", "the event type"),
        ({"event_id": ""}, "empty_id", "event_id is empty"),
        ({"user_id": ""}, "empty_id", "user_id is empty"),
        ({"item_id": ""}, "empty_id", "item_id is empty"),
        ({"event_id": "x" * 257}, "too_long", "event_id has more than 256 bytes"),
        ({"item_id": "ü" * 129}, "too_long", "item_id has more than 256 bytes"),
        ({"session_id": "x" * 257}, "too_long", "session_id"),
        ({"request_id": "x" * 257}, "too_long", "request_id"),
        ({"device_type": "x" * 65}, "too_long", "device_type has more than 64 bytes"),
        ({"page_type": "x" * 65}, "too_long", "page_type"),
        ({"country": "x" * 65}, "too_long", "country"),
        ({"timestamp_ms": LOG_TIME_MS - 10_001}, "too_old", "10001 ms older"),
        ({"timestamp_ms": LOG_TIME_MS + 501}, "in_future", "501 ms ahead"),
        ({"timestamp_ms": -(2**62)}, "too_old", "at most 10000"),
        ({"timestamp_ms": 2**62}, "in_future", "at most 500"),
        ({"duration_ms": -1}, "bad_duration", "duration_ms is -1"),
        ({"completion_rate": 1.1}, "bad_completion_rate", "1.1"),
        ({"completion_rate": -0.1}, "bad_completion_rate", "-0.1"),
        ({"completion_rate": nan}, "bad_completion_rate", "nan"),
        ({"position": 0}, "bad_position", "position is 0"),
        ({"quantity": -1}, "bad_quantity", "quantity is -1"),
        ({"price": nan}, "bad_price", "price is nan"),
        ({"price": inf}, "bad_price", "price is inf"),
        ({"price": -0.01}, "bad_price", "price is -0.01"),
    ],
)
def test_a_bad_event_is_refused_with_what_was_seen(
    change: dict[str, Any], reason: str, told: str
) -> None:
    event = replace(GOOD, **change)
    found = seen(event, event.user_id.encode())
    assert found is not None
    assert found[0] == reason
    assert told in found[1]


@pytest.mark.parametrize("change", [{"timestamp_ms": LOG_TIME_MS - 10_000}, {"position": 9_999}])
def test_the_last_allowed_value_is_taken(change: dict[str, Any]) -> None:
    assert seen(replace(GOOD, **change)) is None
    assert seen(replace(GOOD, timestamp_ms=LOG_TIME_MS + 500)) is None
    assert seen(replace(GOOD, item_id="ü" * 128)) is None


@pytest.mark.parametrize(
    ("key", "told"), [(None, "no key"), (b"u2", "key b'u2'"), (b"\xff" * 9_000, r"\xff")]
)
def test_the_key_must_be_the_user(key: bytes | None, told: str) -> None:
    found = seen(GOOD, key)
    assert found is not None
    assert found[0] == "wrong_key"
    assert told in found[1]
    assert len(found[1]) < 500


def test_only_known_types_have_a_weight_and_the_specification_holds() -> None:
    assert set(ACTION_WEIGHTS) < set(get_args(EventType))
    assert [ACTION_WEIGHTS[name] for name in ("view", "click", "add_to_cart")] == [0.1, 0.3, 0.5]
    assert (ACTION_WEIGHTS["purchase"], ACTION_WEIGHTS["dismiss"]) == (1.0, -0.2)


def test_reasons_are_fit_for_a_metric_label() -> None:
    assert all(reason.replace("_", "").isalpha() for reason in get_args(RefusalReason))
