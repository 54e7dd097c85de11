"""Every Kafka topic, declared once: partitions and retention of a full deployment, and its key."""

from dataclasses import dataclass
from typing import Literal

from schemas.types import (
    BanditPosterior,
    BanditUpdate,
    DeadLetter,
    EmbeddingUpdate,
    Impression,
    ItemEngagement,
    ItemEvent,
    ItemNeighbors,
    ItemPair,
    ItemPopularity,
    ItemSignal,
    ItemSnapshot,
    Record,
    UserEvent,
    UserSnapshot,
)

# A message of this key without a value says that time goes on where nothing else is logged. It is
# nobody's record: readers of records leave it out, and a backfill lets time pass by it.
TICK_KEY = b"freshet:tick"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic as a full deployment has it.

    A message of a `delta` counts each time it is read, so jobs send it exactly once; of the others
    a later message replaces an earlier one.
    """

    name: str
    record: type[Record]
    key: str
    partitions: int
    replication: int = 3
    retention_ms: int = -1
    cleanup: Literal["delete", "compact"] = "delete"
    max_message_bytes: int = 1_048_576
    delta: bool = False

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields that make up a message's key.

        >>> BANDIT_UPDATES.key_fields
        ('item_id', 'context_segment')
        """
        return tuple(self.key.split(":"))

    def key_of(self, record: Record) -> bytes:
        """The key of the message that carries a record."""
        return ":".join(str(getattr(record, name)) for name in self.key_fields).encode()

    def complaint(self, key: bytes | None) -> str:
        """What is said of a message with another key than its record's.

        >>> USER_EVENTS.complaint(b"u2")
        "key b'u2'; the message key must be the user_id, as UTF-8"
        """
        seen = "no key" if key is None else f"key {key[:80]!r}"
        return f"{seen}; the message key must be the {self.key}, as UTF-8"

    def scaled_partitions(self, scale: float) -> int:
        """Partitions of a deployment that is `scale` of a full one, at least one.

        >>> USER_EVENTS.scaled_partitions(0.04)
        4
        """
        return max(1, round(self.partitions * scale))

    def config(self) -> dict[str, str]:
        """What the broker is told.

        Log time is the broker's, so that retention, age limits and replays don't depend on the
        clock of a producer.
        """
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(self.max_message_bytes),
        }


USER_EVENTS = Topic(
    name="user-events", record=UserEvent, key="user_id", partitions=100, retention_ms=7 * DAY_MS
)
ITEMS = Topic(name="items", record=ItemEvent, key="item_id", partitions=50, cleanup="compact")
PERSONALIZATION_RESULTS = Topic(
    name="personalization-results",
    record=Impression,
    key="user_id",
    partitions=100,
    retention_ms=30 * DAY_MS,
)
EMBEDDING_UPDATES = Topic(
    name="embedding-updates",
    record=EmbeddingUpdate,
    key="user_id",
    partitions=50,
    retention_ms=DAY_MS,
)
BANDIT_UPDATES = Topic(
    name="bandit-updates",
    record=BanditUpdate,
    key="item_id:context_segment",
    partitions=50,
    retention_ms=DAY_MS,
    delta=True,
)
BANDIT_POSTERIORS = Topic(
    name="bandit-posteriors",
    record=BanditPosterior,
    key="item_id:context_segment",
    partitions=50,
    cleanup="compact",
)
DEAD_LETTERS = Topic(
    name="dead-letters",
    record=DeadLetter,
    key="topic:partition:offset",
    partitions=10,
    retention_ms=30 * DAY_MS,
    delta=True,
)
USER_SNAPSHOTS = Topic(
    name="user-snapshots",
    record=UserSnapshot,
    key="user_id",
    partitions=100,
    retention_ms=DAY_MS,
)
ITEM_SIGNALS = Topic(
    name="item-signals",
    record=ItemSignal,
    key="item_id",
    partitions=50,
    retention_ms=DAY_MS,
    delta=True,
)
ITEM_SNAPSHOTS = Topic(
    name="item-snapshots", record=ItemSnapshot, key="item_id", partitions=50, cleanup="compact"
)
ITEM_POPULARITY = Topic(
    name="item-popularity", record=ItemPopularity, key="item_id", partitions=50, cleanup="compact"
)
ITEM_PAIRS = Topic(
    name="item-pairs",
    record=ItemPair,
    key="item_id",
    partitions=50,
    retention_ms=DAY_MS,
    delta=True,
)
ITEM_NEIGHBORS = Topic(
    name="item-neighbors", record=ItemNeighbors, key="item_id", partitions=50, cleanup="compact"
)
ITEM_ENGAGEMENT = Topic(
    name="item-engagement", record=ItemEngagement, key="item_id", partitions=50, cleanup="compact"
)
# What jobs owe at a time depends on how far these have been read.
TIMED = (USER_EVENTS, PERSONALIZATION_RESULTS, ITEMS, ITEM_SIGNALS, ITEM_PAIRS)

TOPICS = (
    USER_EVENTS,
    ITEMS,
    PERSONALIZATION_RESULTS,
    EMBEDDING_UPDATES,
    BANDIT_UPDATES,
    BANDIT_POSTERIORS,
    DEAD_LETTERS,
    USER_SNAPSHOTS,
    ITEM_SIGNALS,
    ITEM_SNAPSHOTS,
    ITEM_POPULARITY,
    ITEM_PAIRS,
    ITEM_NEIGHBORS,
    ITEM_ENGAGEMENT,
)
