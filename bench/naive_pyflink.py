"""What `user_state` would be by the book: an operator a feature, each keyed and stored by itself.

Process mode, a key selector in Python before each of the four, objects as pickled state, an event
decoded once and pickled on its way. The mathematics is the product's own.
"""

import sys
from collections.abc import Iterator
from typing import Any

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.common.serialization import ByteArraySchema
from pyflink.datastream import (
    KeyedProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ValueStateDescriptor

from domain.embedding import UserEmbedding, learn
from domain.emotion import EmotionState, feel
from domain.session import Session, begins_another, belongs_to, count_in, first_of
from domain.windows import Windows
from schemas.codec import decode
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from settings import load_settings
from stores.item_vectors import ItemVectors

JOB = "naive"
# Each operator tells of each event.
OPERATORS = 4


class Feature(KeyedProcessFunction):  # type: ignore[misc]
    """One feature of a user: get the state, change it, put it back, tell of it."""

    name = ""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Get hold of the state."""
        described = ValueStateDescriptor(self.name, Types.PICKLED_BYTE_ARRAY())
        self._stored = runtime_context.get_state(described)

    def process_element(self, value: UserEvent, ctx: Any) -> Iterator[bytes]:  # noqa: ARG002
        """Change the user by an event."""
        state = self._stored.value()
        state, told = self.change(self.empty() if state is None else state, value)
        self._stored.update(state)
        yield told

    def empty(self) -> Any:
        """A user who was never seen."""
        raise NotImplementedError

    def change(self, state: Any, event: UserEvent) -> tuple[Any, bytes]:
        """Answer the state after an event, and what is told of it."""
        raise NotImplementedError


class WindowsFeature(Feature):
    """Counts over windows."""

    name = "windows"

    def empty(self) -> Windows:
        return Windows()

    def change(self, state: Windows, event: UserEvent) -> tuple[Windows, bytes]:
        state.add(event.event_type, timestamp_ms=event.timestamp_ms, item_id=event.item_id)
        return state, state.to_bytes()


class EmbeddingFeature(Feature):
    """The streaming embedding."""

    name = "embedding"

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the items, too."""
        super().open(runtime_context)
        self._items = ItemVectors(self._redis_url)

    def empty(self) -> tuple[UserEmbedding, int]:
        return UserEmbedding(), 0

    def change(self, state: Any, event: UserEvent) -> tuple[Any, bytes]:
        embedding, latest_ms = state
        latest_ms = max(latest_ms, event.timestamp_ms)
        item = self._items.get(event.item_id) if event.item_id else None
        moved = None
        if item is not None and item.vector is not None:
            moved = learn(
                embedding,
                action=event.event_type,
                item_vector=item.vector,
                timestamp_ms=event.timestamp_ms,
                latest_ms=latest_ms,
            )
        return (embedding, latest_ms), b"" if moved is None else moved.tobytes()


class MoodFeature(Feature):
    """Emotion and session."""

    name = "mood"

    def empty(self) -> tuple[EmotionState, Session | None]:
        return EmotionState(), None

    def change(self, state: Any, event: UserEvent) -> tuple[Any, bytes]:
        emotion, session = state
        feel(emotion, event=event, text=None, timestamp_ms=event.timestamp_ms)
        if session is None or begins_another(session, event):
            session = first_of(event)
        elif belongs_to(session, event):
            count_in(session, event)
        return (emotion, session), emotion.to_bytes()


class CountsFeature(Feature):
    """Totals: events, and the time of the latest."""

    name = "counts"

    def empty(self) -> tuple[int, int]:
        return 0, 0

    def change(self, state: tuple[int, int], event: UserEvent) -> tuple[Any, bytes]:
        state = (state[0] + 1, max(state[1], event.timestamp_ms))
        return state, b"%d %d" % state


def main(target: str) -> None:
    """Describe the job to Flink, which runs it."""
    settings = load_settings()
    bootstrap = settings.kafka.bootstrap
    config = Configuration().set_string("python.execution-mode", "process")
    env = StreamExecutionEnvironment.get_execution_environment(config)
    raw = env.from_source(_source(bootstrap), WatermarkStrategy.no_watermarks(), "events")
    events = raw.map(_decoded, output_type=Types.PICKLED_BYTE_ARRAY()).name("decode")
    features = [
        events.key_by(_user_id, key_type=Types.STRING())
        .process(feature, output_type=Types.PRIMITIVE_ARRAY(Types.BYTE()))
        .name(feature.name)
        for feature in (
            WindowsFeature(),
            EmbeddingFeature(settings.redis.url),
            MoodFeature(),
            CountsFeature(),
        )
    ]
    features[0].union(*features[1:]).sink_to(_sink(bootstrap, target))
    env.execute(JOB)


def _decoded(payload: bytes) -> UserEvent:
    return decode(bytes(payload), UserEvent)


def _user_id(event: UserEvent) -> str:
    return event.user_id


def _source(bootstrap: str) -> KafkaSource:
    return (
        KafkaSource.builder()
        .set_bootstrap_servers(bootstrap)
        .set_topics(USER_EVENTS.name)
        .set_group_id("bench-naive")
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(ByteArraySchema())
        .build()
    )


def _sink(bootstrap: str, target: str) -> KafkaSink:
    serializer = (
        KafkaRecordSerializationSchema.builder()
        .set_topic(target)
        .set_value_serialization_schema(ByteArraySchema())
        .build()
    )
    return (
        KafkaSink.builder()
        .set_bootstrap_servers(bootstrap)
        .set_record_serializer(serializer)
        .build()
    )


if __name__ == "__main__":
    main(sys.argv[1])
