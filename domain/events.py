"""What an event means, and which events are refused."""

from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Literal

from schemas.collections import ID_MAX_LENGTH
from schemas.topics import USER_EVENTS
from schemas.types import Impression, UserEvent

# How far an event moves a user towards its item. The first five are the specification's; the
# others are placed between them. A type without a weight says nothing about its item.
ACTION_WEIGHTS = MappingProxyType(
    {
        "view": 0.1,
        "click": 0.3,
        "add_to_cart": 0.5,
        "purchase": 1.0,
        "dismiss": -0.2,
        "dwell": 0.2,
        "like": 0.5,
        "share": 0.6,
        "review": 0.4,
        "skip": -0.1,
    }
)

LABEL_MAX_LENGTH = 64
DAY_MS = 86_400_000

RefusalReason = Literal[
    "wrong_key",
    "empty_id",
    "too_long",
    "unknown_event_type",
    "too_old",
    "in_future",
    "bad_duration",
    "bad_completion_rate",
    "bad_position",
    "bad_quantity",
    "bad_price",
    "bad_vector",
]


@dataclass(frozen=True, kw_only=True)
class EventLimits:
    """How far an event's time may lie from the time the log took it."""

    max_age_ms: int = 400 * DAY_MS
    max_ahead_ms: int = 300_000


@dataclass(frozen=True)
class Refusal:
    """Why a message is not used: a fixed short name, and what was seen and is allowed."""

    reason: RefusalReason
    detail: str


def refusal(
    event: UserEvent, *, key: bytes | None, log_time_ms: int, limits: EventLimits
) -> Refusal | None:
    """Why this event can't be used, None where it can.

    Ages count from the time the log took the event, so that a replay decides the same.

    >>> event = UserEvent(event_id="e1", user_id="u1", event_type="view", timestamp_ms=-1)
    >>> refusal(event, key=b"u1", log_time_ms=60_000, limits=EventLimits(max_age_ms=30_000)).reason
    'too_old'
    """
    return (
        _identity_refusal(event, key)
        or _length_refusal(event)
        or _time_refusal(event.timestamp_ms, log_time_ms, limits)
        or _value_refusal(event)
    )


def impression_refusal(impression: Impression, *, key: bytes | None) -> Refusal | None:
    """Why what was shown can't be used, None where it can.

    >>> impression_refusal(Impression(request_id="", user_id="u", timestamp_ms=0), key=b"u").reason
    'empty_id'
    """
    for name in ("user_id", "request_id"):
        if not getattr(impression, name):
            return Refusal("empty_id", f"{name} is empty; each answer needs one")
        if _longer(getattr(impression, name), ID_MAX_LENGTH):
            return Refusal("too_long", f"{name} has more than {ID_MAX_LENGTH} bytes")
    if any(not item.item_id or _longer(item.item_id, ID_MAX_LENGTH) for item in impression.items):
        return Refusal("empty_id", f"an item_id is empty or has more than {ID_MAX_LENGTH} bytes")
    return _key_refusal(key, impression.user_id)


def _key_refusal(key: bytes | None, user_id: str) -> Refusal | None:
    if key == user_id.encode():
        return None
    return Refusal("wrong_key", USER_EVENTS.complaint(key))


def _identity_refusal(event: UserEvent, key: bytes | None) -> Refusal | None:
    if event.event_type == "unknown":
        return Refusal("unknown_event_type", "the event type is not one that this version knows")
    for name in ("user_id", "event_id"):
        if not getattr(event, name):
            return Refusal("empty_id", f"{name} is empty; each event needs one")
    if event.item_id == "":
        return Refusal("empty_id", "item_id is empty; leave it out where no item is meant")
    return _key_refusal(key, event.user_id)


def _length_refusal(event: UserEvent) -> Refusal | None:
    for name in ("user_id", "event_id", "item_id", "session_id", "request_id"):
        if _longer(getattr(event, name), ID_MAX_LENGTH):
            return Refusal("too_long", f"{name} has more than {ID_MAX_LENGTH} bytes")
    for name in ("device_type", "page_type", "country"):
        if _longer(getattr(event, name), LABEL_MAX_LENGTH):
            return Refusal("too_long", f"{name} has more than {LABEL_MAX_LENGTH} bytes")
    return None


def _longer(text: str | None, limit: int) -> bool:
    if not text:
        return False
    return len(text) > limit or (not text.isascii() and len(text.encode()) > limit)


def _time_refusal(timestamp_ms: int, log_time_ms: int, limits: EventLimits) -> Refusal | None:
    age_ms = log_time_ms - timestamp_ms
    if age_ms > limits.max_age_ms:
        return Refusal(
            "too_old",
            f"{age_ms} ms older than the log's {log_time_ms}; at most {limits.max_age_ms} allowed",
        )
    if -age_ms > limits.max_ahead_ms:
        return Refusal(
            "in_future",
            f"{-age_ms} ms ahead of the log's {log_time_ms}; at most {limits.max_ahead_ms} allowed",
        )
    return None


def _value_refusal(event: UserEvent) -> Refusal | None:
    if event.duration_ms is not None and event.duration_ms < 0:
        return Refusal("bad_duration", f"duration_ms is {event.duration_ms}; 0 or more is allowed")
    if event.completion_rate is not None and not 0.0 <= event.completion_rate <= 1.0:
        return Refusal(
            "bad_completion_rate", f"completion_rate is {event.completion_rate}; 0 to 1 is allowed"
        )
    if event.position is not None and event.position < 1:
        return Refusal("bad_position", f"position is {event.position}; places count from 1")
    if event.quantity is not None and event.quantity < 0:
        return Refusal("bad_quantity", f"quantity is {event.quantity}; 0 or more is allowed")
    if event.price is not None and not (isfinite(event.price) and event.price >= 0):
        return Refusal("bad_price", f"price is {event.price}; a finite number, 0 or more")
    return None
