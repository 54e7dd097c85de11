"""Ten thousand messages that were spoilt, of many kinds and at random, among good ones."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from kafka import KafkaProducer

from domain.events import EventLimits, refusal
from schemas.codec import DecodeError, decode, encode
from schemas.topics import DEAD_LETTERS, USER_EVENTS
from schemas.types import DeadLetter, ItemEvent, UserEvent
from stack.local import LocalStack
from tests.damage import spoilt
from tests.e2e.streams import (
    assert_counts_equal_recount,
    eventually,
    job_of,
    now_ms,
    records,
    restarts_of,
    start_jobs,
)

pytestmark = pytest.mark.e2e

Message = tuple[bytes | None, bytes | None]
Place = tuple[int, int]

DAY_MS = 86_400_000
# So many of a known kind, whose reason is known too, and so many that are spoilt at random.
KNOWN, RANDOM = 2_000, 8_000


def _avro(event: UserEvent) -> Message:
    return event.user_id.encode(), encode(event)


def _with_type(event: UserEvent, index: int) -> Message:
    """The event type as a number that the schema doesn't have, where the encoder would refuse."""
    key, value = _avro(replace(event, event_type="view"))
    assert value is not None
    at = value.index(event.user_id.encode()) + len(event.user_id)
    return key, value[:at] + bytes([index * 2]) + value[at + 1 :]


# Kind by kind: what is sent for a good event, and the reason that must be told.
KINDS: dict[str, tuple[str, Callable[[UserEvent], Message]]] = {
    "tombstone": ("empty", lambda e: (e.user_id.encode(), None)),
    "no bytes": ("empty", lambda e: (e.user_id.encode(), b"")),
    "json": ("not_avro", lambda e: (e.user_id.encode(), b'{"user_id": "u"}')),
    "random bytes": ("not_avro", lambda e: (e.user_id.encode(), e.event_id.encode() * 9)),
    "one byte": ("not_avro", lambda e: (e.user_id.encode(), b"\xc3")),
    "huge": ("not_avro", lambda e: (e.user_id.encode(), b"x" * 1_040_000)),
    "truncated": ("corrupt", lambda e: (e.user_id.encode(), encode(e)[:-9])),
    "longer than it says": ("corrupt", lambda e: (e.user_id.encode(), encode(e) + b"tail")),
    "type out of range": ("corrupt", lambda e: _with_type(e, 60)),
    "bad utf-8": (
        "bad_utf8",
        lambda e: (e.user_id.encode(), encode(e).replace(b"good", b"\xff\xfe\xfd\xfc")),
    ),
    "unknown schema": (
        "unknown_schema",
        lambda e: (e.user_id.encode(), b"\xc3\x01" + bytes(8) + encode(e)[10:]),
    ),
    "another record": (
        "wrong_schema",
        lambda e: (e.user_id.encode(), encode(ItemEvent(item_id="i", updated_at_ms=1))),
    ),
    "no key": ("wrong_key", lambda e: (None, encode(e))),
    "another user's key": ("wrong_key", lambda e: (b"somebody", encode(e))),
    "key that is no text": ("wrong_key", lambda e: (b"\xff\xfe", encode(e))),
    "far past": ("too_old", lambda e: _avro(replace(e, timestamp_ms=-9 * 10**15))),
    "too old": ("too_old", lambda e: _avro(replace(e, timestamp_ms=now_ms() - 401 * DAY_MS))),
    "far future": ("in_future", lambda e: _avro(replace(e, timestamp_ms=9 * 10**15))),
    "no event id": ("empty_id", lambda e: _avro(replace(e, event_id=""))),
    "no user": ("empty_id", lambda e: (b"", encode(replace(e, user_id="")))),
    "long id": ("too_long", lambda e: _avro(replace(e, session_id="s" * 300))),
    "unknown type": ("unknown_event_type", lambda e: _avro(replace(e, event_type="unknown"))),
    "negative duration": ("bad_duration", lambda e: _avro(replace(e, duration_ms=-5))),
    "price that is no number": ("bad_price", lambda e: _avro(replace(e, price=float("nan")))),
    "place zero": ("bad_position", lambda e: _avro(replace(e, position=0))),
    "more than all of it": (
        "bad_completion_rate",
        lambda e: _avro(replace(e, completion_rate=1.5)),
    ),
}
HUGE_AT_MOST = 20


def test_each_is_told_with_its_reason_and_nothing_stops(stack: LocalStack) -> None:
    start_jobs(stack)
    since_ms, job = now_ms(), job_of(stack, "user_state").job_id
    restarts = restarts_of(stack, "user_state")
    expected = _send(stack, since_ms)
    assert len(expected) > KNOWN + RANDOM // 2
    assert len(set(expected.values())) >= 12

    def letters() -> list[DeadLetter]:
        found = records(stack, DEAD_LETTERS, DeadLetter, since_ms=since_ms)
        return [one for one in found if one.topic == USER_EVENTS.name]

    def places() -> Counter[Place]:
        return Counter((one.partition, one.offset) for one in letters())

    eventually(places, Counter(expected.keys()), within_s=180)
    assert {(one.partition, one.offset): one.reason for one in letters()} == expected
    assert all(one.detail and len(one.payload) <= 65_536 for one in letters())
    assert max(one.payload_size for one in letters()) == 1_040_000
    assert_counts_equal_recount(stack, prefix="poison-", since_ms=since_ms)
    assert job_of(stack, "user_state").job_id == job
    assert restarts_of(stack, "user_state") == restarts


def _send(stack: LocalStack, at_ms: int) -> dict[Place, str]:
    """Good and spoilt in turn; answers where each that can't be used lies, and its reason."""
    producer = KafkaProducer(
        bootstrap_servers=stack.settings.kafka.bootstrap, max_request_size=1_100_000
    )
    sent = [
        (producer.send(USER_EVENTS.name, key=key, value=value), key, value, reason)
        for (key, value), reason in _corpus(at_ms)
    ]
    producer.flush()
    expected = {}
    for one, key, value, told in sent:
        place = one.get(timeout=10)
        reason = told or _reason(key, value, log_time_ms=place.timestamp)
        if reason is not None:
            expected[place.partition, place.offset] = reason
    producer.close()
    return expected


def _corpus(at_ms: int) -> Iterator[tuple[Message, str | None]]:
    """Messages, each with its reason where it is of a known kind."""
    rng, huge, kinds = random.Random(5), 0, sorted(KINDS)
    for number in range(KNOWN + RANDOM):
        event = UserEvent(
            event_id=f"good-{number}",
            user_id=f"poison-{rng.randrange(200)}",
            event_type="click",
            timestamp_ms=at_ms,
            item_id=f"item-{rng.randrange(9)}",
            context={"campaign": "poison"},
        )
        key, value = _avro(event)
        if number < KNOWN:
            yield (key, value), None
            kind = kinds[number % len(kinds)]
            huge += kind == "huge"
            reason, spoil = KINDS["json" if kind == "huge" and huge > HUGE_AT_MOST else kind]
            yield spoil(event), reason
        else:
            assert value is not None
            yield (key, spoilt(value, rng)), None


def _reason(key: bytes | None, value: bytes | None, *, log_time_ms: int) -> str | None:
    """Why a message can't be used; random damage may leave a good one."""
    try:
        event = decode(value, UserEvent)
    except DecodeError as error:
        return error.reason
    refused = refusal(event, key=key, log_time_ms=log_time_ms, limits=EventLimits())
    return refused.reason if refused else None
