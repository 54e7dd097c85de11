"""What flows into and out of every operator: Kafka messages, still and again encoded."""

from typing import NamedTuple

from pyflink.common import Row, Types
from pyflink.common.typeinfo import TypeInformation

from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, Topic
from schemas.types import DeadLetter, Record

PAYLOAD_KEPT = 65_536
KEY_KEPT = 1_024
DETAIL_KEPT = 500


class Incoming(NamedTuple):
    """A message of a source topic. `key` and `value` are None where Kafka has none."""

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    offset: int
    log_time_ms: int


def incoming_type() -> TypeInformation:
    """How Flink sees an `Incoming`."""
    return Types.ROW_NAMED(
        list(Incoming._fields),
        [
            Types.PRIMITIVE_ARRAY(Types.BYTE()),
            Types.PRIMITIVE_ARRAY(Types.BYTE()),
            Types.STRING(),
            Types.INT(),
            Types.LONG(),
            Types.LONG(),
        ],
    )


def outgoing_type() -> TypeInformation:
    """How Flink sees what operators yield."""
    payload = Types.PRIMITIVE_ARRAY(Types.BYTE())
    return Types.ROW_NAMED(["topic", "key", "payload"], [Types.STRING(), payload, payload])


def outgoing(topic: Topic, key: str, record: Record) -> Row:
    """A message for one of our topics."""
    return Row(topic.name, key.encode(), encode(record))


def dead_letter(message: Incoming, *, reason: str, detail: str, job: str) -> Row:
    """A message for `dead-letters`: where one stood, why it wasn't used, and the start of it."""
    letter = DeadLetter(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        log_time_ms=message.log_time_ms,
        key=None if message.key is None else message.key[:KEY_KEPT],
        payload=(message.value or b"")[:PAYLOAD_KEPT],
        payload_size=len(message.value or b""),
        reason=reason,
        detail=detail[:DETAIL_KEPT],
        job=job,
    )
    return outgoing(DEAD_LETTERS, f"{message.topic}:{message.partition}:{message.offset}", letter)
