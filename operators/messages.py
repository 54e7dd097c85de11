"""What flows into every operator: Kafka messages, still encoded."""

from typing import NamedTuple


class Incoming(NamedTuple):
    """A message of a source topic. `key` and `value` are None where Kafka has none."""

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    offset: int
    log_time_ms: int
