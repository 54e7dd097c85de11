"""A count of the log that knows nothing of the jobs, and what the stores have kept.

Every rule is written here a second time, in its plainest form; that is what makes it a check.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
from pyarrow import parquet
from pymilvus import MilvusClient

from schemas.codec import decode
from schemas.collections import USER_EMBEDDINGS
from schemas.redis_keys import BANDIT, ITEM, USER_FEATURES
from schemas.topics import (
    BANDIT_UPDATES,
    EMBEDDING_UPDATES,
    PERSONALIZATION_RESULTS,
    USER_EVENTS,
    USER_SNAPSHOTS,
    Topic,
)
from schemas.types import EmbeddingUpdate, Impression, UserEvent
from settings import Settings
from stores.event_log import LogMessage, read

LAKE_TOPICS = (USER_EVENTS, PERSONALIZATION_RESULTS, BANDIT_UPDATES, USER_SNAPSHOTS)
# By hand, from the specification; an action that isn't here is no reaction.
WORTH = {"click": 0.3, "add_to_cart": 0.5, "purchase": 1.0, "dismiss": 0.0}
PRIOR = 1.0
CLOSE = 1e-4

Arm = tuple[str, str]
Row = tuple[str, int, int]


@dataclass
class Truth:
    """What must be, by one source; `lake` counts each message of the log."""

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    vectors: dict[str, int] = field(default_factory=dict)
    arms: dict[Arm, tuple[float, float]] = field(default_factory=dict)
    lake: Counter[Row] = field(default_factory=Counter)

    def sizes(self) -> dict[str, int]:
        """How much there is of each kind."""
        return {
            "users": len(self.users),
            "events": sum(self.users.values()),
            "items": len(self.items),
            "vectors": len(self.vectors),
            "posteriors": len(self.arms),
            "lake_rows": self.lake.total(),
        }


class Recount:
    """Both sides of the comparison, read anew at each call."""

    def __init__(self, settings: Settings, *, prefix: str = "user-") -> None:
        self._settings = settings
        self._prefix = prefix

    def truth(self) -> Truth:
        """Count what the log holds."""
        first: dict[str, tuple[int, UserEvent]] = {}
        for at_ms, event in self._events():
            first.setdefault(event.event_id, (at_ms, event))
        once = list(first.values())
        return Truth(
            users=dict(Counter(event.user_id for _, event in once)),
            items=dict(Counter(event.item_id for _, event in once if event.item_id)),
            vectors=self._vector_versions(),
            arms=self._arms(once),
            lake=Counter(_row(message) for topic in LAKE_TOPICS for message in self._read(topic)),
        )

    def kept(self) -> Truth:
        """Read what Redis, Milvus and the lake have."""
        client = redis.Redis.from_url(self._settings.redis.url, decode_responses=True)
        try:
            return Truth(
                users=_integers(client, USER_FEATURES.of(self._prefix), "total_interactions"),
                items=_integers(client, ITEM.of("item-"), "total_events"),
                vectors=self._milvus_versions(),
                arms=_stored_arms(client),
                lake=Counter(_lake_rows(self._settings)),
            )
        finally:
            client.close()

    def _events(self) -> Iterator[tuple[int, UserEvent]]:
        for message in self._read(USER_EVENTS):
            event = decode(message.value, UserEvent)
            if event.user_id.startswith(self._prefix):
                yield message.position.log_time_ms, event

    def _arms(self, events: list[tuple[int, UserEvent]]) -> dict[Arm, tuple[float, float]]:
        """Each place of each list counts once, with the best reaction to it within the window."""
        window_ms = self._settings.streams.attribution_window_ms
        lists: dict[str, tuple[int, Impression]] = {}
        for message in self._read(PERSONALIZATION_RESULTS):
            shown = decode(message.value, Impression)
            lists.setdefault(shown.request_id, (message.position.log_time_ms, shown))
        best = {
            (request_id, one.item_id): 0.0
            for request_id, (_, shown) in lists.items()
            for one in shown.items
        }
        for at_ms, event in events:
            place = (event.request_id or "", event.item_id or "")
            worth = WORTH.get(event.event_type)
            if worth is None or place not in best:
                continue
            if abs(at_ms - lists[place[0]][0]) <= window_ms:
                best[place] = max(best[place], worth)
        arms: dict[Arm, tuple[float, float]] = {}
        for (request_id, item_id), reward in best.items():
            arm = (item_id, lists[request_id][1].context_segment)
            alpha, beta = arms.get(arm, (PRIOR, PRIOR))
            arms[arm] = (alpha + reward, beta + 1 - reward)
        return arms

    def _vector_versions(self) -> dict[str, int]:
        """The newest vector that was ever told of each user."""
        newest: dict[str, int] = {}
        for message in self._read(EMBEDDING_UPDATES):
            update = decode(message.value, EmbeddingUpdate)
            known = newest.get(update.user_id, 0)
            newest[update.user_id] = max(known, update.embedding.version)
        return newest

    def _milvus_versions(self) -> dict[str, int]:
        client = MilvusClient(uri=self._settings.milvus.uri, timeout=10)
        try:
            found = client.query(
                USER_EMBEDDINGS.name,
                filter=f'id like "{self._prefix}%"',
                output_fields=["version"],
                limit=16_000,
                consistency_level="Strong",
            )
        finally:
            client.close()
        return {one["id"]: int(one["version"]) for one in found}

    def _read(self, topic: Topic) -> Iterator[LogMessage]:
        return read(self._settings.kafka.bootstrap, [topic], timeout_s=30)


def differences(truth: Truth, kept: Truth) -> dict[str, list[str]]:
    """What isn't equal, kind by kind; empty where all is."""
    found = {
        "users": _unequal(truth.users, kept.users),
        "items": _unequal(truth.items, kept.items),
        "vectors": _unequal(truth.vectors, kept.vectors),
        "posteriors": [
            f"{arm}: {truth.arms.get(arm)} by the log, {kept.arms.get(arm)} kept"
            for arm in truth.arms.keys() | kept.arms.keys()
            if not _same_arm(truth.arms.get(arm), kept.arms.get(arm))
        ],
        "lake": _unequal(truth.lake, kept.lake),
    }
    return {name: lines for name, lines in found.items() if lines}


def _unequal(truth: Mapping[Any, int], kept: Mapping[Any, int]) -> list[str]:
    return [
        f"{key}: {truth.get(key, 0)} by the log, {kept.get(key, 0)} kept"
        for key in truth.keys() | kept.keys()
        if truth.get(key, 0) != kept.get(key, 0)
    ]


def _same_arm(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Rewards are 32-bit floats on their way; a reward too many would be off by 0.3 at least."""
    if one is None or other is None:
        return one is other
    return abs(one[0] - other[0]) < CLOSE and abs(one[1] - other[1]) < CLOSE


def _row(message: LogMessage) -> Row:
    place = message.position
    return place.topic, place.partition, place.offset


def _integers(client: Any, prefix: str, name: str) -> dict[str, int]:
    """A field of every hash whose key begins so, by what follows the family's name."""
    keys = list(client.scan_iter(match=f"{prefix}*", count=1_000))
    found = {key: client.hget(key, name) for key in keys}
    return {key.rpartition(":")[2]: int(value) for key, value in found.items() if value}


def _stored_arms(client: Any) -> dict[Arm, tuple[float, float]]:
    arms = {}
    for key in client.scan_iter(match=BANDIT.of("*", "*"), count=1_000):
        _, item_id, segment = key.split(":", 2)
        alpha, beta = client.hmget(key, "alpha", "beta")
        arms[item_id, segment] = (float(alpha), float(beta))
    return arms


def _lake_rows(settings: Settings) -> Iterator[Row]:
    """The place of every row in every file that is there for readers."""
    for path in settings.lake_directory.rglob("*.parquet"):
        if not path.name.startswith((".", "_")):
            table = parquet.read_table(path, columns=["topic", "partition", "offset"])
            for row in table.to_pylist():
                yield row["topic"], row["partition"], row["offset"]
