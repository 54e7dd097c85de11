"""Groups of messages as they cross between the JVM and Python: one after another in one blob.

`jvm/freshet/flink/Message.java` writes the one kind and `Ungroup.java` reads the other. Nothing
keeps them: a group lives from one operator to the next in the same process.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from struct import Struct

from operators.fold import Outgoing
from operators.messages import Incoming

# Lengths of topic, key and value, -1 for none; partition, offset and log time.
_INCOMING = Struct("<hiiiqq")
# Lengths of topic, key and payload, -1 for no payload.
_OUTGOING = Struct("<hii")


@cache
def _topic(name: bytes) -> str:
    """One text for each topic: there are few."""
    return name.decode()


def incoming_of(group: bytes) -> Iterator[Incoming]:
    """The messages of a group.

    >>> message = Incoming(b"u1", None, "user-events", 3, 7, 1_700_000_000_000)
    >>> list(incoming_of(framed(message))) == [message]
    True
    """
    at, end = 0, len(group)
    unpack, head = _INCOMING.unpack_from, _INCOMING.size
    while at < end:
        topic, key, value, partition, offset, log_time_ms = unpack(group, at)
        at += head
        name = _topic(group[at : at + topic])
        at += topic
        key_bytes = value_bytes = None
        if key >= 0:
            key_bytes = group[at : at + key]
            at += key
        if value >= 0:
            value_bytes = group[at : at + value]
            at += value
        yield Incoming(key_bytes, value_bytes, name, partition, offset, log_time_ms)


def framed(message: Incoming) -> bytes:
    """A message as the JVM frames it."""
    topic, key, value = message.topic.encode(), message.key, message.value
    lengths = (len(topic), -1 if key is None else len(key), -1 if value is None else len(value))
    head = _INCOMING.pack(*lengths, message.partition, message.offset, message.log_time_ms)
    return head + topic + (key or b"") + (value or b"")


def group_of(outgoing: Iterable[Outgoing]) -> bytes:
    """What leaves, in one blob."""
    return b"".join(_chunks(outgoing))


@cache
def _name(topic: str) -> bytes:
    return topic.encode()


def _chunks(outgoing: Iterable[Outgoing]) -> Iterator[bytes]:
    for topic, key, payload in outgoing:
        name = _name(topic)
        yield _OUTGOING.pack(len(name), len(key), -1 if payload is None else len(payload))
        yield name
        yield key
        if payload is not None:
            yield payload


def outgoing_of(group: bytes) -> Iterator[Outgoing]:
    """The messages of a blob, as the JVM splits them.

    >>> one = Outgoing("items", b"i1", None)
    >>> list(outgoing_of(group_of([one]))) == [one]
    True
    """
    at = 0
    while at < len(group):
        topic, key, payload = _OUTGOING.unpack_from(group, at)
        at += _OUTGOING.size
        name = _topic(group[at : at + topic])
        at += topic
        key_bytes = group[at : at + key]
        at += key
        yield Outgoing(name, key_bytes, None if payload < 0 else group[at : at + payload])
        at += max(payload, 0)
