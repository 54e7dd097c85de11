"""Avro single-object encoding: two marker bytes, the schema's fingerprint, the record.

A message of an older schema is resolved to the current one as it is read.

Messages of current schemas go through the functions of `binary.py`, which are generated and several
times as fast as fastavro. They know the plain path only: whatever ends in an exception there, and
whatever is of an older schema, goes through fastavro, which knows all of Avro and says what is
wrong.
"""

from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any, Literal, NamedTuple, TypeVar, cast

from fastavro import schemaless_reader, schemaless_writer

from schemas import registry
from schemas.binary import BINARY
from schemas.types import RECORD_NAMES, Record

MARKER = b"\xc3\x01"
HEADER_SIZE = 10

RecordT = TypeVar("RecordT", bound=Record)
DecodeReason = Literal["empty", "not_avro", "unknown_schema", "wrong_schema", "corrupt", "bad_utf8"]


class _Coding(NamedTuple):
    header: bytes
    write: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]


class DecodeError(Exception):
    """A message can't be read; `reason` is short and fixed, the message says what was seen."""

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DecodeReason = reason
        self.detail = detail


def encode(value: Record) -> bytes:
    """The message for a record, in its current schema."""
    header, write, _ = _coding_of(type(value))
    try:
        return header + write(value)
    except Exception:  # noqa: BLE001
        return _encode_generally(value)


def decode(message: bytes | None, expected: type[RecordT]) -> RecordT:
    """The record in a message, or `DecodeError`."""
    if not message:
        raise DecodeError("empty", "the message has no bytes; an encoded record was expected")
    found = _read_quickly(message, expected)
    return _decode_generally(message, expected) if found is None else found


def _read_quickly(message: bytes, expected: type[RecordT]) -> RecordT | None:
    """The record of a sound message of the current schema, None for any other."""
    header, _, read = _coding_of(expected)
    if not message.startswith(header):
        return None
    try:
        value, end = read(message, HEADER_SIZE)
    except Exception:  # noqa: BLE001
        return None
    return cast("RecordT", value) if end == len(message) else None


def _encode_generally(value: Record) -> bytes:
    """As fastavro writes it, or says why it can't."""
    version = registry.current(RECORD_NAMES[type(value)])
    buffer = BytesIO()
    buffer.write(MARKER + version.fingerprint)
    schemaless_writer(buffer, version.parsed, value.to_record())
    return buffer.getvalue()


def _decode_generally(message: bytes, expected: type[RecordT]) -> RecordT:
    """As fastavro reads it, of any version, or the error that says why it can't."""
    writer = _writer_schema(message, expected)
    body = BytesIO(message)
    body.seek(HEADER_SIZE)
    record = _read(body, writer, registry.current(RECORD_NAMES[expected]))
    left = len(message) - body.tell()
    if left:
        raise DecodeError("corrupt", f"{left} bytes follow the end of the record")
    return expected.from_record(record)


def _writer_schema(message: bytes, expected: type[Record]) -> registry.Version:
    if len(message) < HEADER_SIZE or message[:2] != MARKER:
        raise DecodeError(
            "not_avro",
            f"starts with {message[:HEADER_SIZE].hex()}; Avro single-object encoding starts with "
            f"{MARKER.hex()} and 8 bytes of fingerprint",
        )
    fingerprint = message[2:HEADER_SIZE]
    version = registry.published().get(fingerprint)
    if version is None:
        seen = fingerprint.hex()
        raise DecodeError("unknown_schema", f"no published schema has fingerprint {seen}")
    wanted = RECORD_NAMES[expected]
    if version.name != wanted:
        raise DecodeError("wrong_schema", f"holds a {version.name}; here a {wanted} is expected")
    return version


def _read(body: BytesIO, writer: registry.Version, reader: registry.Version) -> dict[str, Any]:
    resolve_to = None if writer.fingerprint == reader.fingerprint else reader.parsed
    try:
        record = schemaless_reader(body, writer.parsed, resolve_to)
    except UnicodeDecodeError as error:
        raise DecodeError("bad_utf8", f"a string is not UTF-8: {error.reason}") from error
    except Exception as error:
        kind = type(error).__name__
        raise DecodeError("corrupt", f"does not read as {writer.name}: {kind} {error}") from error
    return cast("dict[str, Any]", record)


@cache
def _coding_of(kind: type[Record]) -> _Coding:
    binary = BINARY[kind]
    header = MARKER + registry.current(RECORD_NAMES[kind]).fingerprint
    return _Coding(header, binary.write, binary.read)
