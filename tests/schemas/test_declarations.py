"""Topics, keys and collections as the documents have them."""

import pytest

from schemas import collections, redis_keys, topics
from schemas.types import RECORD_NAMES

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("topic", "partitions", "retention_hours", "key"),
    [
        (topics.USER_EVENTS, 100, 7 * 24, "user_id"),
        (topics.EMBEDDING_UPDATES, 50, 24, "user_id"),
        (topics.BANDIT_UPDATES, 50, 24, "item_id:context_segment"),
        (topics.PERSONALIZATION_RESULTS, 100, 30 * 24, "user_id"),
    ],
)
def test_topics_are_the_documents(
    topic: topics.Topic, partitions: int, retention_hours: int, key: str
) -> None:
    assert (topic.partitions, topic.replication, topic.key) == (partitions, 3, key)
    assert topic.config()["retention.ms"] == str(retention_hours * HOUR_MS)


def test_every_record_has_one_topic_or_is_kept_in_redis() -> None:
    kept = {"AnswerTrace", "RankingTrace", "HistoryTrace"}
    assert sorted(t.record.__name__ for t in topics.TOPICS) == sorted(
        kind.__name__ for kind in RECORD_NAMES if kind.__name__ not in kept
    )
    assert len({topic.name for topic in topics.TOPICS}) == len(topics.TOPICS)


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 100), (0.04, 4), (0.0001, 1)])
def test_partitions_scale_and_never_vanish(scale: float, expected: int) -> None:
    assert topics.USER_EVENTS.scaled_partitions(scale) == expected


@pytest.mark.parametrize(
    ("key", "parts", "expected", "ttl_s"),
    [
        (redis_keys.CONTEXT, ("u",), "context:u", 86_400),
        (redis_keys.SESSION, ("s",), "session:s", 3_600),
        (redis_keys.INTERACTIONS, ("u",), "interactions:u", 86_400),
        (redis_keys.EMBEDDING, ("u",), "embedding:u", 3_600),
        (redis_keys.BANDIT, ("i", "mobile_us"), "bandit:i:mobile_us", None),
        (redis_keys.EDGE_SYNC, ("eu",), "edge_sync:eu", None),
        (redis_keys.FEEDBACK_DEDUP, ("u", "i", "click"), "feedback_dedup:u:i:click", 60),
        (redis_keys.FEEDBACK_ONCE, ("x",), "feedback_once:x", 86_400),
        (redis_keys.REQUEST_DEDUP, ("r",), "request_dedup:r", 30),
        (redis_keys.EMBED_UPDATE, ("x",), "embed_update:x", 3_600),
        (redis_keys.BANDIT_DEDUP, ("i", "c", "7"), "bandit_dedup:i:c:7", 60),
        (redis_keys.USER_FEATURES, ("u",), "user:features:u", 86_400),
    ],
)
def test_keys_are_the_documents(
    key: redis_keys.RedisKey, parts: tuple[str, ...], expected: str, ttl_s: int | None
) -> None:
    assert (key.of(*parts), key.ttl_s) == (expected, ttl_s)


def test_no_two_keys_share_a_pattern() -> None:
    patterns = [key.pattern for key in redis_keys.KEYS]
    assert len(set(patterns)) == len(patterns)


def test_collections_are_the_documents() -> None:
    users, items = collections.USER_EMBEDDINGS, collections.ITEM_EMBEDDINGS
    assert (users.dim, users.index) == (
        512,
        collections.Hnsw(m=16, ef_construction=200, ef_search=100),
    )
    assert (items.dim, items.index) == (
        1024,
        collections.Hnsw(m=32, ef_construction=400, ef_search=150),
    )
