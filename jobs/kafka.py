"""What Kafka is to every job: one keyed source of raw messages, and two sinks.

The source is a table whose key and value stay bytes, so no Python runs before the shuffle; the
stream is keyed in the JVM by the message's key. What is absolute (a later message replaces an
earlier one) leaves at least once, at once. What counts if it is read twice leaves exactly once, in
transactions that end with each checkpoint; whoever reads it reads committed messages only.
"""

from collections.abc import Sequence

from pyflink.common import Types
from pyflink.datastream import DataStream, KeyedStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import StreamTableEnvironment

from operators.flink import incoming_type
from schemas.topics import (
    DEAD_LETTERS,
    EMBEDDING_UPDATES,
    ITEM_POPULARITY,
    ITEM_SIGNALS,
    ITEM_SNAPSHOTS,
    USER_SNAPSHOTS,
    Topic,
)

ABSOLUTE = (USER_SNAPSHOTS, EMBEDDING_UPDATES, ITEM_SNAPSHOTS, ITEM_POPULARITY)
DELTAS = (ITEM_SIGNALS, DEAD_LETTERS)

# A broker allows a quarter of an hour unless told otherwise.
TRANSACTION_TIMEOUT_MS = 900_000
MAX_REQUEST_BYTES = 2 * 1_048_576


class KafkaLog:
    """The topics of one job, as the source and the sink of its stream."""

    def __init__(self, env: StreamExecutionEnvironment, *, bootstrap: str, job: str) -> None:
        self._tables = StreamTableEnvironment.create(env)
        # Operators of the tables keep their state's names from one version of a job to the next.
        self._tables.get_config().set("table.exec.uid.generation", "ALWAYS")
        self._tables.get_config().set("table.local-time-zone", "UTC")
        self._bootstrap = bootstrap
        self._job = job

    def source(self, topics: Sequence[Topic]) -> KeyedStream:
        """The messages of the topics as `Incoming`, from the oldest, keyed by message key."""
        self._tables.execute_sql(self._source_table(topics))
        keyed = self._tables.sql_query(_KEYED_MESSAGES)
        stream = self._tables.to_data_stream(keyed)._j_data_stream  # noqa: SLF001
        # What the table calls its rows is left behind for what Python operators read.
        key_type, message_type = Types.ROW([Types.STRING()]), incoming_type()
        row_type = Types.ROW([Types.STRING(), message_type])
        stream.getTransformation().setOutputType(row_type.get_java_type_info())
        selector = get_gateway().jvm.KeyByKeySelector()
        by_key = stream.keyBy(selector, key_type.get_java_type_info())
        return KeyedStream(by_key, message_type, DataStream(stream))

    def sink(self, stream: DataStream) -> None:
        """Send each outgoing message to the topic that it names."""
        self._tables.create_temporary_view("outgoing", stream)
        statements = self._tables.create_statement_set()
        for name, topics, guarantee in (
            ("absolute", ABSOLUTE, _AT_LEAST_ONCE),
            ("deltas", DELTAS, _exactly_once(self._job)),
        ):
            self._tables.execute_sql(self._sink_table(name, topics, guarantee))
            wanted = ", ".join(f"'{topic.name}'" for topic in topics)
            statements.add_insert_sql(
                f"INSERT INTO {name} SELECT topic, key, payload FROM outgoing "  # noqa: S608
                f"WHERE topic IN ({wanted})"
            )
        statements.attach_as_datastream()

    def _source_table(self, topics: Sequence[Topic]) -> str:
        return f"""
            CREATE TEMPORARY TABLE messages (
                key BYTES,
                payload BYTES,
                topic STRING METADATA VIRTUAL,
                `partition` INT METADATA VIRTUAL,
                `offset` BIGINT METADATA VIRTUAL,
                log_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
            ) WITH (
                {self._connector(topics)},
                'properties.group.id' = 'freshet-{self._job}',
                'properties.isolation.level' = 'read_committed',
                'scan.startup.mode' = 'earliest-offset',
                'scan.topic-partition-discovery.interval' = '30 s'
            )"""

    def _sink_table(self, name: str, topics: Sequence[Topic], guarantee: str) -> str:
        return f"""
            CREATE TEMPORARY TABLE {name} (
                topic STRING METADATA,
                key BYTES,
                payload BYTES
            ) WITH (
                {self._connector(topics)},
                'properties.max.request.size' = '{MAX_REQUEST_BYTES}',
                'properties.linger.ms' = '1',
                {guarantee}
            )"""

    def _connector(self, topics: Sequence[Topic]) -> str:
        return f"""
                'connector' = 'kafka',
                'topic' = '{";".join(topic.name for topic in topics)}',
                'properties.bootstrap.servers' = '{self._bootstrap}',
                'key.format' = 'raw',
                'key.fields' = 'key',
                'value.format' = 'raw',
                'value.fields-include' = 'EXCEPT_KEY'"""


# A key that is no UTF-8 is keyed by what can be read of it; the message keeps its bytes.
_KEYED_MESSAGES = """
    SELECT
        COALESCE(DECODE(key, 'UTF-8'), ''),
        ROW(
            key, payload, topic, `partition`, `offset`,
            CAST(EXTRACT(EPOCH FROM log_time) AS BIGINT) * 1000
                + EXTRACT(MILLISECOND FROM log_time)
        )
    FROM messages"""

_AT_LEAST_ONCE = "'sink.delivery-guarantee' = 'at-least-once'"


def _exactly_once(job: str) -> str:
    return f"""
                'sink.delivery-guarantee' = 'exactly-once',
                'sink.transactional-id-prefix' = 'freshet-{job}',
                'sink.transaction-naming-strategy' = 'POOLING',
                'properties.transaction.timeout.ms' = '{TRANSACTION_TIMEOUT_MS}'"""
