import json

import pytest
import redis

from stores.errors import StoreUnavailable
from stores.online import OnlineWriter
from stores.user_keys import UserKeys
from tests.stores.records import embedding_update, user_snapshot

pytestmark = pytest.mark.e2e


def keys_of(url: str) -> UserKeys:
    return UserKeys(url, timeout_ms=2_000)


async def test_every_key_that_writers_make_is_read(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    writer.write_users([user_snapshot("u", 1), user_snapshot("other", 1)])
    writer.write_embeddings([embedding_update("u", 1)])
    async with keys_of(redis_url) as keys:
        found = {key.name: key for key in await keys.read("u")}
    of_u = {name.decode() for name in client.scan_iter() if b"other" not in name}
    assert of_u == found.keys() >= {"context:u", "interactions:u", "embedding:u"}
    assert all(0 < key.ttl_s <= (key.family.ttl_s or 0) for key in found.values())
    assert json.loads(found["context:u"].value)["user_id"] == "u"


async def test_a_visit_is_found_after_the_context_that_named_it_went(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    writer.write_users([user_snapshot("u", 1)])
    async with keys_of(redis_url) as keys:
        visits = await keys.visits("u")
        client.delete("context:u")
        names = [key.name for key in await keys.read("u", visits=visits)]
    assert [f"session:{visits[0]}" in names, "context:u" in names] == [True, False]


async def test_consent_is_known_of_known_users_only(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    writer.write_users([user_snapshot("u", 1)])
    async with keys_of(redis_url) as keys:
        assert await keys.consent("u") is True
        assert await keys.consent("nobody") is None
    assert list(client.scan_iter("*nobody*")) == []


async def test_a_store_that_is_away_is_named() -> None:
    async with keys_of("redis://127.0.0.1:9/0") as keys:
        with pytest.raises(StoreUnavailable, match="Redis is not available"):
            await keys.read("u")
