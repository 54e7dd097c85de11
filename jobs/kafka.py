"""What Kafka is to every job: one source of groups of raw messages, and two sinks.

All of it runs in the JVM (`jvm/freshet/flink/`). Key and value stay bytes, so no Python runs before
the shuffle, which is by bucket of the message's key. What is absolute (a later message replaces an
earlier one) leaves at least once, at once. What counts if it is read twice leaves exactly once, in
transactions that end with each checkpoint; whoever reads it reads committed messages only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from operators.flink import group_type
from schemas.topics import TICK_KEY, TOPICS, Topic
from settings import Settings

ABSOLUTE = tuple(topic for topic in TOPICS if not topic.delta)
DELTAS = tuple(topic for topic in TOPICS if topic.delta)

# A group leaves when it is as large as this, or after `streams.group_ms`.
GROUP_MESSAGES = 4_096
GROUP_BYTES = 8 * 1_048_576

# Brokers' clocks may differ by so much.
LOG_DELAY_MS = 1_000
# A partition in which not even ticks are logged holds the others up for so long. To leave one out
# that has merely not been read yet would be wrong: while a job catches up, one partition may wait
# for many seconds until another's messages are through, and its time would pass unread.
LOG_IDLE_MS = 60_000

# Kafka answers when there is so much to read, or after so long. To ask for each message, and to
# send each alone, took more processor time than to work on it.
FETCH_BYTES, FETCH_WAIT_MS = 65_536, 10
LINGER_MS = 5

# A broker allows a quarter of an hour unless told otherwise.
TRANSACTION_TIMEOUT_MS = 900_000
MAX_REQUEST_BYTES = 2 * 1_048_576


class KafkaLog:
    """The topics of one job, as the source and the sink of its stream."""

    def __init__(self, env: StreamExecutionEnvironment, *, settings: Settings, job: str) -> None:
        self._env = env
        self._bootstrap = settings.kafka.bootstrap
        self._streams = settings.streams
        self._job = job

    def source(self, topics: Sequence[Topic]) -> KeyedStream:
        """The messages of the topics, in groups by bucket of their keys."""
        buckets, group_ms = self._streams.buckets, self._streams.group_ms
        messages = self.messages(topics, buckets=buckets)
        log = get_gateway().jvm.freshet.flink.Log
        grouped = log.grouped(messages, buckets, GROUP_MESSAGES, GROUP_BYTES, group_ms)
        return KeyedStream(grouped, group_type(), DataStream(messages))

    def messages(self, topics: Sequence[Topic], *, buckets: int) -> Any:
        """The messages of the topics, each with its bucket, as a Java stream."""
        client = self._client(
            {
                "group.id": f"freshet-{self._job}",
                "isolation.level": "read_committed",
                "fetch.min.bytes": str(FETCH_BYTES),
                "fetch.max.wait.ms": str(FETCH_WAIT_MS),
                "partition.discovery.interval.ms": "30000",
            }
        )
        return get_gateway().jvm.freshet.flink.Log.messages(
            self._env._j_stream_execution_environment,  # noqa: SLF001
            client,
            _list(topic.name for topic in topics),
            buckets,
            TICK_KEY.decode(),
            self._streams.start_ms,
            LOG_DELAY_MS,
            LOG_IDLE_MS,
        )

    def sink(self, stream: DataStream) -> None:
        """Send each message of the groups that leave to the topic that it names."""
        client = self._client(
            {
                "linger.ms": str(LINGER_MS),
                "max.request.size": str(MAX_REQUEST_BYTES),
                "transaction.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
            }
        )
        get_gateway().jvm.freshet.flink.Log.sink(
            stream._j_data_stream,  # noqa: SLF001
            client,
            _list(topic.name for topic in ABSOLUTE),
            _list(topic.name for topic in DELTAS),
            f"freshet-{self._job}",
        )

    def _client(self, config: Mapping[str, str]) -> Any:
        properties = get_gateway().jvm.java.util.Properties()
        for name, value in {"bootstrap.servers": self._bootstrap, **config}.items():
            properties.setProperty(name, value)
        return properties


def _list(texts: Any) -> Any:
    found = get_gateway().jvm.java.util.ArrayList()
    for text in texts:
        found.add(text)
    return found
