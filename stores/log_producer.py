"""Hands records to Kafka by librdkafka, whose threads never hold Python up.

A producer in Python sends from a thread that shares the interpreter with the service's loop: at
some hundred records a second each takes milliseconds from the other.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stores.errors import LogUnavailable

BATCH_BYTES = 65_536
RECONNECT_MS = 1_000
# So long, at most, a closed producer's thread goes on.
POLL_S = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where in the log a record stands."""

    topic: str
    partition: int
    offset: int
    log_time_ms: int


Outcome = Position | LogUnavailable
Told = Callable[[Outcome], None]


class LogProducer:
    """A producer whose every record is told of: taken at a position, or not within the deadline.

    Kafka may come later. `told` is called from a thread of this producer, in the order in which
    Kafka answers, and has to be quick.
    """

    def __init__(
        self, bootstrap: str, *, client_id: str, deadline_s: float, linger_ms: float
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": client_id,
                "acks": "all",
                # Keeps the order through retries.
                "max.in.flight.requests.per.connection": 1,
                "enable.idempotence": False,
                "message.timeout.ms": round(deadline_s * 1000),
                "request.timeout.ms": round(deadline_s * 1000),
                "linger.ms": linger_ms,
                "batch.size": BATCH_BYTES,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": RECONNECT_MS,
                "socket.nagle.disable": True,
                # Java's: all who write to a topic must agree on where a key belongs.
                "partitioner": "murmur2_random",
            },
            logger=log,
        )
        self._open = True
        self._polling = threading.Thread(target=self._poll, name=f"{client_id}-acks", daemon=True)
        self._polling.start()

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        told: Told,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int = -1,
    ) -> None:
        """Hand a record over; never waits."""

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            told(_position(message) if error is None else _unavailable(topic, error))

        try:
            self._producer.produce(
                topic,
                value,
                key,
                partition=partition,
                on_delivery=on_delivery,
                headers=list(headers),
            )
        except (KafkaException, BufferError) as error:
            told(LogUnavailable(f"topic {topic}: {error}"))

    def partitions(self, topic: str, *, timeout_s: float) -> int:
        """How many partitions a topic has, 0 where it is missing, or `LogUnavailable`."""
        try:
            found = self._producer.list_topics(topic, timeout_s).topics[topic]
        except KafkaException as error:
            raise LogUnavailable(error) from error
        return len(found.partitions) if found.error is None else 0

    def flush(self, *, timeout_s: float) -> int:
        """Wait until all was told of; how many records were not."""
        return self._producer.flush(timeout_s)

    def close(self, *, timeout_s: float) -> None:
        """Send what is left, while the time allows, and let go of the connections."""
        self.flush(timeout_s=timeout_s)
        self._open = False
        self._polling.join()
        self._producer.close()

    def _poll(self) -> None:
        """Have what Kafka says told, for as long as the producer is open."""
        while self._open:
            self._producer.poll(POLL_S)


def _position(message: Message) -> Position:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Position(
        topic=topic, partition=partition, offset=offset, log_time_ms=message.timestamp()[1]
    )


def _unavailable(topic: str, error: KafkaError) -> LogUnavailable:
    return LogUnavailable(f"topic {topic}: {error.str()}")
