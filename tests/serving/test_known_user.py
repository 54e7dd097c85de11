"""What lies in the stores of a user, decoded."""

from typing import Any, cast

import numpy as np
import pytest

from domain.emotion import EmotionState
from domain.windows import Windows
from schemas.redis_keys import (
    CONTEXT,
    EMBEDDING,
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    INTERACTIONS,
    SESSION,
    USER_FEATURES,
    RedisKey,
)
from schemas.types import Interaction, UserSnapshot
from serving.known_user import UserLookup, described
from stores.errors import StoreUnavailable
from stores.user_keys import StoredKey
from stores.views import context_json, day_bytes, embedding_bytes, interaction_json, session_bytes

NOW_MS = 1_800_000_000_000


def key(family: RedisKey, value: Any, name: str = "u1", ttl_s: int = 60) -> StoredKey:
    return StoredKey(name=family.of(name), family=family, ttl_s=ttl_s, value=value)


def snapshot() -> UserSnapshot:
    windows = Windows()
    windows.add("view", timestamp_ms=NOW_MS - 1_000)
    windows.add("click", timestamp_ms=NOW_MS - 600_000)
    return UserSnapshot(
        user_id="u1",
        version=2,
        timestamp_ms=NOW_MS - 1_000,
        log_time_ms=NOW_MS - 900,
        first_seen_ms=NOW_MS - 600_000,
        total_interactions=2,
        total_sessions=1,
        session_id="s1",
        session_start_ms=NOW_MS - 600_000,
        session_interactions=2,
        windows=windows.to_bytes(),
        emotion=EmotionState().to_bytes(),
        interaction=Interaction(event_id="e2", event_type="view", timestamp_ms=NOW_MS - 1_000),
    )


def half(count: int) -> bytes:
    return np.ones(count, "<f2").tobytes()


def vector() -> bytes:
    return np.full(512, 0.5, "<f4").tobytes()


def test_a_context_is_decoded_as_of_now() -> None:
    told = described("u1", [key(CONTEXT, context_json(snapshot()).encode())], now_ms=NOW_MS)
    assert (told["known"], told["as_of"]) == (True, "2027-01-15T08:00:00.000+00:00")
    context = told["redis"]["context:u1"]["value"]
    assert (context["version"], context["age_ms"]) == (2, 900)
    assert context["times"]["timestamp_ms"] == "2027-01-15T07:59:59.000+00:00"
    assert context["windows"]["5m"]["counts"] == {"view": 1}
    assert context["windows"]["1h"]["counts"] == {"view": 1, "click": 1}
    assert context["affinities"]["preferred"] == []
    assert context["emotion"]["label"] == "neutral"


def test_every_other_key_is_shown_with_its_lifetime() -> None:
    interaction = Interaction(event_id="e1", event_type="click", timestamp_ms=5, item_id="i1")
    stored = [
        key(INTERACTIONS, [interaction_json(interaction).encode(), b"1800000000000"]),
        key(EMBEDDING, embedding_bytes(vector(), 7), ttl_s=3_000),
        key(EMBEDDING_DAY, day_bytes(half(512), 7)),
        key(EMBEDDING_SESSION, session_bytes(half(256), 7, 3)),
        key(USER_FEATURES, {b"version": b"2", b"raw": b"\xff\xfe"}),
        key(SESSION, {b"user_id": b"u1"}, name="s1"),
    ]
    told = described("u1", stored, now_ms=NOW_MS)["redis"]
    (newest,) = told["interactions:u1"]["value"]
    assert (newest["at"], newest["item_id"]) == ("2027-01-15T08:00:00.000+00:00", "i1")
    assert told["embedding:u1"]["ttl_s"] == 3_000
    assert told["embedding:u1"]["value"]["version"] == 7
    assert told["embedding:u1"]["value"]["norm"] == pytest.approx(0.5 * 512**0.5, abs=1e-4)
    assert told["embedding:day:u1"]["value"] == {"version": 7, "numbers": 512, "norm": 22.6274}
    visit = told["embedding:session:u1"]["value"]
    assert visit == {"visit": 3, "version": 7, "numbers": 256, "norm": 16.0}
    assert told["user:features:u1"]["value"] == {"version": "2", "raw": "(2 bytes)"}
    assert told["session:s1"]["value"] == {"user_id": "u1"}


@pytest.mark.parametrize(
    "stored", [b"", b"{", b"5", b"\xff", b'{"log_time_ms": 1e30}', b"[" * 3_000]
)
def test_a_key_that_cant_be_read_says_so_and_hides_no_other(stored: bytes) -> None:
    keys = [key(CONTEXT, stored), key(EMBEDDING, b"\1"), key(INTERACTIONS, [b"x", b"inf"])]
    told = described("u1", [*keys, key(USER_FEATURES, {b"a": b"1"})], now_ms=NOW_MS)["redis"]
    for one in keys:
        assert told[one.name]["value"]["unreadable"]
    assert told["user:features:u1"]["value"] == {"a": "1"}


def test_of_an_unknown_user_nothing_is_shown() -> None:
    told = described("u1", [], now_ms=NOW_MS)
    assert (told["known"], told["redis"]) == (False, {})


class Keys:
    async def read(self, _: str) -> list[StoredKey]:
        return [key(EMBEDDING, embedding_bytes(vector(), 7))]


class Vectors:
    away = False

    async def user(self, _: str) -> dict[str, Any]:
        if self.away:
            raise StoreUnavailable("Milvus", "no route")
        return {"version": 7}

    async def search_items(self, asked: Any, k: int) -> list[tuple[str, float]]:
        assert asked.shape == (1024,)
        return [("i1", 0.87654)][:k]


async def test_the_vector_store_tells_its_row_and_the_nearest_items() -> None:
    lookup = UserLookup(cast("Any", Keys()), cast("Any", Vectors()))
    told = await lookup.known("u1", now_ms=NOW_MS)
    assert told["milvus"] == {
        "row": {"version": 7},
        "nearest_items": [{"item_id": "i1", "closeness": 0.8765}],
    }


async def test_a_vector_store_that_is_away_hides_nothing_else() -> None:
    vectors = Vectors()
    vectors.away = True
    told = await UserLookup(cast("Any", Keys()), cast("Any", vectors)).known("u1", now_ms=NOW_MS)
    assert "no route" in told["milvus"]["away"]
    assert "embedding:u1" in told["redis"]
