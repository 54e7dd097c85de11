"""Avro single-object encoding: two marker bytes, the schema's fingerprint, the record.

A message of an older schema is resolved to the current one as it is read.
"""

from functools import cache
from io import BytesIO
from typing import Any, Literal, TypeVar, cast

from fastavro import schemaless_reader, schemaless_writer

from schemas import registry
from schemas.types import RECORD_NAMES, Record

MARKER = b"\xc3\x01"
HEADER_SIZE = 10

RecordT = TypeVar("RecordT", bound=Record)
DecodeReason = Literal["empty", "not_avro", "unknown_schema", "wrong_schema", "corrupt", "bad_utf8"]


class DecodeError(Exception):
    """A message can't be read; `reason` is short and fixed, the message says what was seen."""

    def __init__(self, reason: DecodeReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: DecodeReason = reason
        self.detail = detail


def encode(value: Record) -> bytes:
    """The message for a record, in its current schema."""
    header, parsed = _writer_of(type(value))
    buffer = BytesIO()
    buffer.write(header)
    schemaless_writer(buffer, parsed, value.to_record())
    return buffer.getvalue()


def decode(message: bytes | None, expected: type[RecordT]) -> RecordT:
    """The record in a message, or `DecodeError`."""
    if not message:
        raise DecodeError("empty", "the message has no bytes; an encoded record was expected")
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
def _writer_of(kind: type[Record]) -> tuple[bytes, registry.Schema]:
    version = registry.current(RECORD_NAMES[kind])
    return MARKER + version.fingerprint, version.parsed
