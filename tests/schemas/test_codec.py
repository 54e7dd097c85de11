"""Messages: what is written is read, what can't be read says why."""

import struct
from io import BytesIO
from random import Random

import pytest
from avro.io import BinaryEncoder, DatumWriter
from avro.schema import parse
from hypothesis import given
from hypothesis import strategies as st

from schemas import registry
from schemas.codec import HEADER_SIZE, MARKER, DecodeError, decode, encode
from schemas.types import (
    DeadLetter,
    Exposure,
    Impression,
    ItemEvent,
    ItemSnapshot,
    ShownItem,
    UserEvent,
)
from tests.damage import spoilt

CLICK = UserEvent(
    event_id="e-1", user_id="u-1", event_type="click", timestamp_ms=1_700_000_000_000, item_id="i-1"
)

texts = st.text(max_size=20)
events = st.builds(
    UserEvent,
    event_id=texts,
    user_id=texts,
    event_type=st.sampled_from(["view", "click", "purchase"]),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    item_id=st.none() | texts,
    quantity=st.none() | st.integers(-(2**31), 2**31 - 1),
    price=st.none() | st.floats(allow_nan=False),
    context=st.dictionaries(texts, texts, max_size=3),
)


def reason_of(message: bytes | None) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(message, UserEvent)
    return caught.value.reason


@given(events)
def test_what_is_written_is_read(event: UserEvent) -> None:
    assert decode(encode(event), UserEvent) == event


def test_nested_records_come_back_as_values() -> None:
    shown = ShownItem(item_id="i-1", rank=1, score=0.5, source="trending", propensity=0.25)
    exposure = Exposure(experiment_id="x", arm="b", forced=True)
    impression = Impression(
        request_id="r", user_id="u", timestamp_ms=1, items=(shown,), experiments=(exposure,)
    )
    item = ItemEvent(item_id="i-1", updated_at_ms=5, categories=("a", "b"), metadata={"k": "v"})
    snapshot = ItemSnapshot(item_id="i-1", version=1, timestamp_ms=1, log_time_ms=2, catalog=item)

    assert decode(encode(impression), Impression) == impression
    assert decode(encode(snapshot), ItemSnapshot).catalog == item


def test_a_message_is_marked_and_carries_its_fingerprint() -> None:
    message = encode(CLICK)

    assert message[:2] == MARKER == b"\xc3\x01"
    assert message[2:HEADER_SIZE] == registry.current("user_event").fingerprint


def test_the_reference_implementation_writes_the_same_bytes() -> None:
    """Apache's own `avro` package, not the one that the codec is built on."""
    schema = parse((registry.AVRO_DIR / "dead_letter.avsc").read_text(encoding="utf-8"))
    letter = DeadLetter(
        topic="t", partition=1, offset=2, log_time_ms=3, key=b"k", payload=b"p", payload_size=1,
        reason="empty", detail="d", job="j",
    )  # fmt: skip
    buffer = BytesIO()
    DatumWriter(schema).write(letter.to_record(), BinaryEncoder(buffer))

    assert encode(letter)[HEADER_SIZE:] == buffer.getvalue()


def test_fingerprints_are_those_of_the_specification() -> None:
    """The specification's own example: CRC-64-AVRO of "int" is 0x7275d51a3f395c8f."""
    assert registry.fingerprint_of("int") == struct.pack("<Q", 0x7275D51A3F395C8F)  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [None, b""])
def test_an_empty_message(message: bytes | None) -> None:
    assert reason_of(message) == "empty"


@pytest.mark.parametrize("message", [b"{}", b'{"user_id": "u-1"}', MARKER, MARKER + b"1234567"])
def test_something_else_than_avro(message: bytes) -> None:
    assert reason_of(message) == "not_avro"


def test_a_schema_that_nobody_published() -> None:
    assert reason_of(MARKER + b"\x00" * 8 + b"rest") == "unknown_schema"


def test_a_record_of_another_kind() -> None:
    assert reason_of(encode(ItemEvent(item_id="i", updated_at_ms=1))) == "wrong_schema"


def test_every_truncation_is_refused() -> None:
    message = encode(CLICK)

    reasons = {reason_of(message[:length]) for length in range(HEADER_SIZE, len(message))}

    assert reasons <= {"corrupt", "bad_utf8"}


def test_bytes_after_the_record() -> None:
    assert reason_of(encode(CLICK) + b"x") == "corrupt"


def test_a_string_that_is_not_utf8() -> None:
    assert reason_of(encode(CLICK).replace(b"u-1", b"\xff\xfe\xfd")) == "bad_utf8"


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(body: bytes) -> None:
    message = encode(CLICK)[:HEADER_SIZE] + body
    try:
        decode(message, UserEvent)
    except DecodeError:
        return
    except Exception as error:  # noqa: BLE001
        pytest.fail(f"{error!r} for {body.hex()}")


def test_the_error_names_what_was_seen_and_expected() -> None:
    with pytest.raises(DecodeError, match="holds a item_event; here a user_event is expected"):
        decode(encode(ItemEvent(item_id="i", updated_at_ms=1)), UserEvent)


def test_whatever_the_bytes_reading_them_fails_in_one_way_only() -> None:
    rng, failed = Random(3), 0
    for number in range(10_000):
        message = spoilt(encode(_EVENTS[number % len(_EVENTS)]), rng)
        try:
            read = decode(message, UserEvent)
        except DecodeError:
            failed += 1
        else:
            assert decode(encode(read), UserEvent) == read or read.price != read.price
    assert 6_000 < failed < 10_000


_EVENTS = (
    UserEvent(event_id="e1", user_id="u1", event_type="view", timestamp_ms=1, item_id="i1"),
    UserEvent(
        event_id="e2",
        user_id="u2",
        event_type="review",
        timestamp_ms=2**40,
        text="grüße 🙂",
        price=3.5,
        context={"page": "home", "campaign": "a"},
    ),
)
