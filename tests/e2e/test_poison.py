"""A thousand messages that can't be used, of many kinds, among as many that can."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from kafka import KafkaProducer

from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, USER_EVENTS
from schemas.types import DeadLetter, ItemEvent, UserEvent
from stack.local import LocalStack
from tests.e2e.streams import (
    assert_counts_equal_recount,
    eventually,
    job_of,
    now_ms,
    records,
    recount,
    restarts_of,
    start_jobs,
)

pytestmark = pytest.mark.e2e

Message = tuple[bytes | None, bytes | None]
Place = tuple[int, int]

DAY_MS = 86_400_000
BAD = 1_000


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
    assert len(expected) == BAD
    assert len(set(expected.values())) >= 10

    def letters() -> list[DeadLetter]:
        found = records(stack, DEAD_LETTERS, DeadLetter, since_ms=since_ms)
        return [one for one in found if one.topic == USER_EVENTS.name]

    def places() -> Counter[Place]:
        return Counter((one.partition, one.offset) for one in letters())

    eventually(places, Counter(expected.keys()))
    assert {(one.partition, one.offset): one.reason for one in letters()} == expected
    assert all(one.detail and len(one.payload) <= 65_536 for one in letters())
    assert max(one.payload_size for one in letters()) == 1_040_000
    good = recount(stack, prefix="poison-", since_ms=since_ms)
    assert sum(len(user.events) for user in good.values()) == BAD
    assert_counts_equal_recount(stack, prefix="poison-", since_ms=since_ms)
    assert job_of(stack, "user_state").job_id == job
    assert restarts_of(stack, "user_state") == restarts


def _send(stack: LocalStack, at_ms: int) -> dict[Place, str]:
    """Good and bad in turn; answers where each bad one lies, and its reason."""
    rng, huge, kinds, sent = random.Random(5), 0, sorted(KINDS), []
    producer = KafkaProducer(
        bootstrap_servers=stack.settings.kafka.bootstrap, max_request_size=1_100_000
    )
    for number in range(BAD):
        event = UserEvent(
            event_id=f"good-{number}",
            user_id=f"poison-{rng.randrange(20)}",
            event_type="click",
            timestamp_ms=at_ms,
        )
        key, value = _avro(event)
        producer.send(USER_EVENTS.name, key=key, value=value)
        kind = kinds[number % len(kinds)]
        huge += kind == "huge"
        reason, spoil = KINDS["json" if kind == "huge" and huge > HUGE_AT_MOST else kind]
        key, value = spoil(event)
        sent.append((producer.send(USER_EVENTS.name, key=key, value=value), reason))
    producer.flush()
    places = [(one.get(timeout=10), reason) for one, reason in sent]
    producer.close()
    return {(place.partition, place.offset): reason for place, reason in places}
