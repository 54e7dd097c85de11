"""The generated writers and readers, beside fastavro and Apache's own package."""

import json
import re
from io import BytesIO
from random import Random
from typing import Any, cast
from unittest.mock import patch

import pytest
from avro.io import BinaryDecoder, BinaryEncoder, DatumReader, DatumWriter
from avro.schema import parse
from fastavro import schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import avro_parts, codec, generate_binary, registry
from schemas.binary import BINARY
from schemas.codec import HEADER_SIZE, DecodeError, decode, encode
from schemas.types import RECORD_NAMES, ItemPair, ItemSnapshot, Record, UserEvent
from tests.damage import spoilt

KINDS = list(RECORD_NAMES)
PLAIN = {
    "string": st.text(max_size=80),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=200),
    "null": st.none(),
}


def values_of(schema: Any) -> st.SearchStrategy[Any]:
    """Plain data that a schema allows."""
    if isinstance(schema, list):
        return st.one_of(*map(values_of, schema))
    if isinstance(schema, str):
        return PLAIN[schema]
    match schema["type"]:
        case "record":
            fields = {entry["name"]: values_of(entry["type"]) for entry in schema["fields"]}
            return st.fixed_dictionaries(fields)
        case "enum":
            return st.sampled_from(schema["symbols"])
        case "array":
            return st.lists(values_of(schema["items"]), max_size=4)
        case "map":
            return st.dictionaries(PLAIN["string"], values_of(schema["values"]), max_size=4)
    return values_of(schema["type"])


def records_of(kind: type[Record]) -> st.SearchStrategy[Record]:
    return values_of(registry.expanded(RECORD_NAMES[kind])).map(kind.from_record)


def with_fastavro(value: Record) -> bytes:
    buffer = BytesIO()
    parsed = registry.current(RECORD_NAMES[type(value)]).parsed
    schemaless_writer(buffer, parsed, value.to_record())
    return buffer.getvalue()


def with_apache(value: Record) -> bytes:
    buffer = BytesIO()
    schema = parse(json.dumps(registry.expanded(RECORD_NAMES[type(value)])))
    DatumWriter(schema).write(value.to_record(), BinaryEncoder(buffer))
    return buffer.getvalue()


def read_by_apache(body: bytes, kind: type[Record]) -> dict[str, Any]:
    schema = parse(json.dumps(registry.expanded(RECORD_NAMES[kind])))
    return cast("dict[str, Any]", DatumReader(schema).read(BinaryDecoder(BytesIO(body))))


def outcome(message: bytes, kind: type[Record]) -> object:
    """What comes of decoding: a value, by its bytes since NaN isn't itself, or a reason."""
    try:
        return repr(decode(message, kind))
    except DecodeError as error:
        return error.reason, re.sub("0x[0-9a-f]+", "", error.detail)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_bytes_are_those_of_fastavro_and_apache_reads_them(
    kind: type[Record], data: st.DataObject
) -> None:
    value = data.draw(records_of(kind))

    body = BINARY[kind].write(value)

    assert body == with_fastavro(value)
    assert BINARY[kind].read(body, 0) == (value, len(body))
    assert kind.from_record(read_by_apache(body, kind)) == value


@settings(max_examples=50, deadline=None)
@given(st.builds(ItemPair.from_record, values_of(registry.expanded("item_pair"))))
def test_apache_writes_the_same_bytes(pair: ItemPair) -> None:
    assert encode(pair)[HEADER_SIZE:] == with_apache(pair)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_what_is_spoilt_reads_as_by_fastavro_alone(
    kind: type[Record], data: st.DataObject, seed: int
) -> None:
    rng, message = Random(seed), encode(data.draw(records_of(kind)))
    for _ in range(20):
        damaged = message[:HEADER_SIZE] + spoilt(message, rng)[HEADER_SIZE:]
        with patch.object(codec, "_read_quickly", return_value=None):
            expected = outcome(damaged, kind)
        assert outcome(damaged, kind) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x00\x00\x00\x00\x00\x00",  # a length of two bytes, though one would do
        b"\x00\x00\x00\x00\x01\x02\x02a\x00\x00",  # a block with its size
        b"\x00\x00\x00\x00\x02\x02a\x02\x02b\x00\x00",  # two blocks
        b"\x00\x00\x00\x00\x00" + b"\x02\x00\x00\x80\x3f" * 2 + b"\x00",  # two blocks of floats
    ],
)
def test_what_avro_allows_and_we_do_not_write_is_read(body: bytes) -> None:
    message = encode(ItemPair.from_record(PAIR))[:HEADER_SIZE] + body

    read = decode(message, ItemPair)

    assert read.to_record() == read_by_apache(body, ItemPair)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("timestamp_ms", 2**63),
        ("timestamp_ms", "soon"),
        ("quantity", 2**31),
        ("event_type", "clack"),
        ("event_id", None),
        ("consent", "yes"),
    ],
)
def test_a_value_that_its_schema_does_not_know_is_refused_as_by_fastavro(
    name: str, wrong: object
) -> None:
    told = {"event_id": "e", "user_id": "u", "event_type": "view", "timestamp_ms": 1, name: wrong}
    event = UserEvent(**told)  # type: ignore[arg-type]

    with pytest.raises(Exception) as expected:  # noqa: PT011
        with_fastavro(event)
    with pytest.raises(expected.type) as caught:
        encode(event)

    assert str(caught.value) == str(expected.value)


def test_a_number_of_more_bytes_than_64_bits_take_is_no_number() -> None:
    with pytest.raises(OverflowError, match="a number of 71 bits"):
        avro_parts.read_long(b"\xff" * 10 + b"\x01", 0)


def test_the_plain_path_is_the_one_that_is_taken() -> None:
    snapshot = ItemSnapshot(item_id="i", version=1, timestamp_ms=2, log_time_ms=3)
    with (
        patch.object(codec, "_encode_generally", side_effect=AssertionError),
        patch.object(codec, "_decode_generally", side_effect=AssertionError),
    ):
        assert decode(encode(snapshot), ItemSnapshot) == snapshot


def test_a_schema_that_needs_more_than_there_is_ends_the_generation() -> None:
    with pytest.raises(ValueError, match="65 symbols; 64 fit"):
        generate_binary._enum({"name": "Many", "symbols": [f"S{n}" for n in range(65)]})
    with pytest.raises(ValueError, match="null or one other type, in this order"):
        generate_binary._option(["string", "null"])


PAIR: dict[str, Any] = {
    "item_id": "", "event_id": "", "timestamp_ms": 0, "log_time_ms": 0, "others": [], "weights": [],
}  # fmt: skip
