import asyncio
import signal
import time
from typing import Any

import pytest

from schemas.redis_keys import CONTEXT, EMBEDDING, INTERACTIONS, SESSION, TRENDING, USER_FEATURES
from schemas.types import EmbeddingUpdate
from stack.local import LocalStack
from stores.errors import StoreRejected, StoreUnavailable
from stores.online import OnlineReader, OnlineWriter
from stores.redis_server import connect
from stores.views import ItemView
from tests.stores.records import (
    NOW_MS,
    deleted_item,
    embedding_update,
    interaction,
    item_event,
    item_popularity,
    item_snapshot,
    unit,
    user_snapshot,
)

pytestmark = pytest.mark.e2e


async def test_a_user_is_read_as_it_was_written(writer: OnlineWriter, reader: OnlineReader) -> None:
    written = user_snapshot(
        "ü ser",
        7,
        device_type="mobile",
        page_type="home",
        country="DE",
        windows=bytes(range(256)),
        affinities=b"likes",
        emotion=b"feels",
        session_last_ms=NOW_MS + 9,
        interaction=interaction(
            "e7", item_id="i9", position=3, duration_ms=40, request_id="r", text="mugs"
        ),
    )
    writer.write_users([written])
    writer.write_embeddings([embedding_update("ü ser", 5)])
    user = await reader.user("ü ser")
    vectors = {"embedding", "embedding_version", "day_vector", "session_vector"}
    kept = set(type(user).__slots__) - vectors - {"recent", "stamp"}
    assert {name: getattr(user, name) for name in kept} == {
        name: getattr(written, name) for name in kept
    }
    assert user.known
    assert user.recent == (written.interaction,)
    assert user.embedding_version == 5
    assert user.embedding is not None
    assert (user.embedding == unit(5)).all()


async def test_what_is_not_there_is_a_value_and_reading_makes_no_keys(
    client: Any, reader: OnlineReader
) -> None:
    user = await reader.user("nobody")
    assert (user.known, user.embedding, user.embedding_version, user.recent) == (False, None, 0, ())
    assert user.consent
    assert await reader.trending(10) == []
    assert await reader.items_changed_since(0) == []
    assert [page async for page in reader.all_items()] == []
    assert client.dbsize() == 0


async def test_an_older_version_never_replaces_a_newer_one(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    assert writer.write_users([user_snapshot("u", 5, country="FR")]) == 1
    assert writer.write_users([user_snapshot("u", 4, country="XX")]) == 0
    assert writer.write_embeddings([embedding_update("u", 5)]) == 1
    assert writer.write_embeddings([embedding_update("u", 4)]) == 0
    assert writer.write_items([item_snapshot("i", 5)]) == 1
    assert writer.write_items([item_snapshot("i", 4)]) == 0
    assert writer.write_popularity([item_popularity("i", 9)]) == 1
    assert writer.write_popularity([item_popularity("i", 8)]) == 0
    user, items = await reader.user("u"), await reader.items_changed_since(0)
    assert (user.version, user.country, user.embedding_version) == (5, "FR", 5)
    assert [(item.item_id, item.version, item.total_events) for item in items] == [("i", 5, 9)]
    assert await reader.trending(9) == [("i", 9.0)]


async def test_interactions_of_an_older_version_are_still_added(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    writer.write_users([user_snapshot("u", 5)])
    writer.write_users([user_snapshot("u", 4)])
    assert [one.event_id for one in (await reader.user("u")).recent] == ["u-5", "u-4"]


async def test_a_job_that_counts_again_from_one_wins_by_its_later_log_time(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    later_ms = NOW_MS + 60_000
    writer.write_users([user_snapshot("u", 50)])
    writer.write_items([item_snapshot("i", 50)])
    writer.write_popularity([item_popularity("i", 60)])
    assert writer.write_users([user_snapshot("u", 1, log_time_ms=later_ms)]) == 1
    assert writer.write_items([item_snapshot("i", 1, log_time_ms=later_ms)]) == 1
    assert writer.write_popularity([item_popularity("i", 2, log_time_ms=later_ms)]) == 1
    assert (await reader.user("u")).version == 1
    (item,) = await reader.items_changed_since(0)
    assert (item.version, item.total_events) == (1, 2)


async def test_the_log_time_that_guards_an_item_never_goes_back(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    """Version 8 comes from a slower partition; a late version 7 must not replace it."""
    writer.write_popularity([item_popularity("i", 7, log_time_ms=NOW_MS + 100)])
    writer.write_popularity([item_popularity("i", 8, log_time_ms=NOW_MS + 98)])
    assert writer.write_popularity([item_popularity("i", 7, log_time_ms=NOW_MS + 100)]) == 0
    assert [item.total_events for item in await reader.items_changed_since(0)] == [8]


async def test_neither_part_of_an_item_is_guarded_by_the_version_of_the_other(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    late_ms = NOW_MS + 90_000
    assert writer.write_items([item_snapshot("i", 50, log_time_ms=late_ms)]) == 1
    assert writer.write_popularity([item_popularity("i", 2)]) == 1
    assert writer.write_popularity([item_popularity("j", 50, log_time_ms=late_ms)]) == 1
    assert writer.write_items([item_snapshot("j", 2)]) == 1
    items = await reader.items_changed_since(0)
    assert [(item.version, item.total_events) for item in items] == [(50, 2), (2, 50)]


async def test_a_batch_ends_as_its_records_one_by_one_do(
    writer: OnlineWriter, reader: OnlineReader, client: Any
) -> None:
    users = [user_snapshot(f"u{n % 3}", 1 + n // 3) for n in range(30)]
    updates = [embedding_update(f"u{n % 3}", 1 + n // 3) for n in range(30)]
    items = [item_snapshot("i", version) for version in (1, 3, 2)]
    moved = [item_popularity("i", version) for version in (4, 6, 5)]
    for user, update in zip(users, updates, strict=True):
        writer.write_users([user])
        writer.write_embeddings([update])
    for item in items:
        writer.write_items([item])
    for popularity in moved:
        writer.write_popularity([popularity])
    one_by_one = contents(client)
    client.flushall()
    assert writer.write_users(users) == 3
    assert writer.write_embeddings(updates) == 3
    assert writer.write_items(items) == 1
    assert writer.write_popularity(moved) == 1
    assert contents(client) == one_by_one
    assert len((await reader.user("u0")).recent) == 10


async def test_writing_again_changes_nothing(writer: OnlineWriter, client: Any) -> None:
    def write() -> None:
        writer.write_users([user_snapshot("u", version) for version in range(1, 120)])
        writer.write_embeddings([embedding_update("u", 3)])
        writer.write_items([item_snapshot("i", 3), deleted_item("gone", 2)])
        writer.write_popularity([item_popularity(item_id, 4) for item_id in ("i", "gone", "new")])

    write()
    once = contents(client)
    write()
    assert contents(client) == once


def test_lifetimes_and_sizes_are_as_declared(writer: OnlineWriter, client: Any) -> None:
    writer.write_users([user_snapshot("u", version) for version in range(1, 151)])
    writer.write_embeddings([embedding_update("u", 1)])
    declared = {
        CONTEXT.of("u"): CONTEXT.ttl_s,
        SESSION.of("session-u"): SESSION.ttl_s,
        INTERACTIONS.of("u"): INTERACTIONS.ttl_s,
        EMBEDDING.of("u"): EMBEDDING.ttl_s,
        USER_FEATURES.of("u"): USER_FEATURES.ttl_s,
    }
    found = {key: client.ttl(key) for key in declared}
    assert all(0 <= ttl - found[key] < 30 for key, ttl in declared.items() if ttl), found
    assert client.zcard(INTERACTIONS.of("u")) == INTERACTIONS.max_size
    newest = client.zrevrange(INTERACTIONS.of("u"), 0, 0, withscores=True)
    assert newest[0][1] == NOW_MS + 150


def test_people_can_read_session_and_features(writer: OnlineWriter, client: Any) -> None:
    writer.write_users([user_snapshot("u", 9, device_type="tv", country='D"E')])
    assert client.hgetall(SESSION.of("session-u")) == {
        b"user_id": b"u",
        b"start_time": str(NOW_MS).encode(),
        b"device": b"tv",
        b"geo": b'{"country": "D\\"E"}',
        b"interaction_count": b"9",
    }
    assert client.hgetall(USER_FEATURES.of("u")) == {
        b"last_interaction_ts": str(NOW_MS + 9).encode(),
        b"active_session": b"session-u",
        b"session_interactions": b"9",
        b"total_interactions": b"9",
        b"version": b"9",
    }


async def test_a_user_without_a_session_has_no_session_key(
    writer: OnlineWriter, client: Any, reader: OnlineReader
) -> None:
    writer.write_users([user_snapshot("u", 1, session_id=None)])
    assert client.keys("session:*") == []
    assert (await reader.user("u")).session_id is None


async def test_only_as_many_interactions_are_read_as_asked_for(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    writer.write_users([user_snapshot("u", version) for version in range(1, 9)])
    assert [one.event_id for one in (await reader.user("u", recent=2)).recent] == ["u-8", "u-7"]
    assert (await reader.user("u", recent=0)).recent == ()


async def test_an_item_is_read_as_it_was_written(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    catalog = item_event(
        'i"1', title="Tässe", tags=("a", "b"), price=2.5, metadata={"k": "v"}, category_id="c"
    )
    written, moved = item_snapshot('i"1', 3, catalog=catalog), item_popularity('i"1', 5)
    writer.write_items([written])
    writer.write_popularity([moved])
    (item,) = await reader.items_changed_since(0)
    assert (item.item_id, item.version) == (written.item_id, written.version)
    same = ("popularity", "popularity_at_ms", "trending", "total_events")
    assert [getattr(item, name) for name in same] == [getattr(moved, name) for name in same]
    assert item.catalog == catalog
    assert item.vector is not None
    assert item.vector.tobytes() == written.vector


async def test_an_item_loses_what_its_new_version_lacks(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    writer.write_items([item_snapshot("i", 1)])
    writer.write_items([item_snapshot("i", 2, vector=None, catalog=None)])
    (item,) = await reader.items_changed_since(0)
    assert (item.vector, item.catalog, item.deleted) == (None, None, False)


@pytest.mark.parametrize("popularity_first", [True, False])
async def test_an_items_parts_come_in_any_order(
    writer: OnlineWriter, reader: OnlineReader, *, popularity_first: bool
) -> None:
    if popularity_first:
        writer.write_popularity([item_popularity("i", 4)])
        (item,) = await reader.items_changed_since(0)
        assert (item.catalog, item.vector, item.version, item.total_events) == (None, None, 0, 4)
        assert not item.deleted
        assert await reader.trending(9) == []
    writer.write_items([item_snapshot("i", 1)])
    if not popularity_first:
        (item,) = await reader.items_changed_since(0)
        assert (item.popularity, item.trending, item.total_events) == (0.0, 0.0, 0)
        assert await reader.trending(9) == []
        writer.write_popularity([item_popularity("i", 4)])
    (item,) = await reader.items_changed_since(0)
    assert item.catalog is not None
    assert item.vector is not None
    assert (item.version, item.popularity, item.total_events) == (1, 4.0, 4)
    assert await reader.trending(9) == [("i", 4.0)]


async def test_readers_are_told_of_either_part(writer: OnlineWriter, reader: OnlineReader) -> None:
    writer.write_items([item_snapshot("i", 1), item_snapshot("j", 1)])
    since_ms = (await reader.items_changed_since(0))[-1].changed_at_ms
    writer.write_popularity([item_popularity("i", 1)])
    (moved,) = await reader.items_changed_since(since_ms)
    assert (moved.item_id, moved.total_events) == ("i", 1)
    writer.write_items([item_snapshot("i", 2)])
    (changed,) = await reader.items_changed_since(moved.changed_at_ms)
    assert (changed.item_id, changed.version, changed.total_events) == ("i", 2, 1)


async def test_events_of_a_deleted_item_do_not_bring_it_back(
    writer: OnlineWriter, reader: OnlineReader, client: Any
) -> None:
    writer.write_items([item_snapshot("i", 1)])
    writer.write_items([deleted_item("i", 2)])
    assert writer.write_popularity([item_popularity("i", 3)]) == 1
    assert writer.write_items([item_snapshot("i", 1)]) == 0
    (gone,) = await reader.items_changed_since(0)
    assert (gone.deleted, gone.catalog) == (True, None)
    assert await reader.trending(9) == []
    assert 0 < client.ttl("item:i") <= 86_400


async def test_an_item_that_comes_back_stays_and_has_its_popularity(
    writer: OnlineWriter, reader: OnlineReader, client: Any
) -> None:
    writer.write_popularity([item_popularity("i", 3)])
    writer.write_items([deleted_item("i", 1)])
    writer.write_items([item_snapshot("i", 2)])
    (item,) = await reader.items_changed_since(0)
    assert (item.deleted, item.total_events) == (False, 3)
    assert await reader.trending(9) == [("i", 3.0)]
    assert client.ttl("item:i") == -1


async def test_a_deleted_item_leaves_everything_but_its_tombstone(
    writer: OnlineWriter, reader: OnlineReader, client: Any
) -> None:
    writer.write_items([item_snapshot("i", 1), item_snapshot("j", 1)])
    writer.write_popularity([item_popularity("i", 2), item_popularity("j", 1)])
    seen_ms = (await reader.items_changed_since(0))[-1].changed_at_ms
    writer.write_items([deleted_item("i", 2)])
    assert await reader.trending(10) == [("j", 1.0)]
    (gone,) = await reader.items_changed_since(seen_ms)
    assert (gone.item_id, gone.deleted, gone.catalog, gone.vector) == ("i", True, None, None)
    assert 0 < client.ttl("item:i") <= 86_400
    assert writer.write_items([item_snapshot("i", 1)]) == 0
    client.delete("item:i")
    assert (await reader.items_changed_since(seen_ms))[0].deleted


async def test_trending_holds_what_can_be_shown_and_no_more_than_declared(
    writer: OnlineWriter, reader: OnlineReader, client: Any
) -> None:
    assert TRENDING.max_size is not None
    ids = [f"i{n}" for n in range(TRENDING.max_size + 5)]
    hidden = item_snapshot("hidden", 1, catalog=item_event("hidden", is_active=False))
    writer.write_items([hidden, *(item_snapshot(item_id, 1) for item_id in ids)])
    heaviest = [item_popularity(item_id, 1, trending=9e9) for item_id in ("hidden", "unknown")]
    moved = [item_popularity(item_id, 1, trending=float(n)) for n, item_id in enumerate(ids)]
    writer.write_popularity([*moved, *heaviest])
    assert client.zcard(TRENDING.of("all")) == TRENDING.max_size
    assert await reader.trending(2) == [("i1004", 1004.0), ("i1003", 1003.0)]
    writer.write_items([item_snapshot("i1004", 2, catalog=item_event("i1004", is_active=False))])
    assert await reader.trending(1) == [("i1003", 1003.0)]
    writer.write_popularity([item_popularity("i1004", 2, trending=2000.0)])
    assert await reader.trending(1) == [("i1003", 1003.0)]
    writer.write_items([item_snapshot("i1004", 3)])
    assert await reader.trending(1) == [("i1004", 2000.0)]


async def test_changes_are_found_page_by_page_and_none_is_missed(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    writer.write_items([item_snapshot(f"i{n}", 1) for n in range(25)])
    pages = [page async for page in reader.all_items(page=10)]
    assert [len(page) for page in pages] == [10, 10, 5]
    found = [item for page in pages for item in page]
    assert {item.item_id for item in found} == {f"i{n}" for n in range(25)}
    at = [item.changed_at_ms for item in found]
    assert at == sorted(set(at))
    writer.write_items([item_snapshot("i3", 2)])
    later: list[ItemView] = await reader.items_changed_since(at[-1])
    assert [(item.item_id, item.version) for item in later] == [("i3", 2)]
    assert await reader.items_changed_since(later[-1].changed_at_ms) == []


async def test_a_damaged_value_counts_as_missing_and_is_logged(
    client: Any, reader: OnlineReader, caplog: pytest.LogCaptureFixture
) -> None:
    client.set("context:u", '{"version":1}')
    client.set("embedding:u", b"\1\0\0\0\0\0\0\0short")
    user = await reader.user("u")
    assert (user.known, user.embedding, user.embedding_version) == (False, None, 0)
    assert "context of a user can't be read" in caplog.text
    assert "vector of a user has 5 bytes, not 2048" in caplog.text


async def test_a_context_of_a_newer_writer_is_still_read(
    client: Any, writer: OnlineWriter, reader: OnlineReader
) -> None:
    writer.write_items([item_snapshot("i", 1)])
    catalog = b'{"item_id":"i","updated_at_ms":1,"title":"t","field_of_tomorrow":1}'
    client.hset("item:i", "catalog", catalog)
    (item,) = await reader.items_changed_since(0)
    assert item.catalog is not None
    assert (item.catalog.title, item.catalog.tags) == ("t", ())


def test_what_the_server_refuses_is_told_from_what_it_cannot_do_now(
    client: Any, writer: OnlineWriter
) -> None:
    client.rpush("context:u", "not a string")
    with pytest.raises(StoreRejected, match=r"Redis refused the write: .*WRONGTYPE"):
        writer.write_users([user_snapshot("u", 1)])
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            writer.write_users([user_snapshot("v", 1)])
    finally:
        client.config_set("maxmemory", "0")


def test_scripts_are_loaded_again_after_the_server_forgot_them(
    client: Any, writer: OnlineWriter
) -> None:
    writer.write_users([user_snapshot("u", 1)])
    client.script_flush()
    assert writer.write_users([user_snapshot("u", 2)]) == 1


async def test_nothing_listens() -> None:
    async with OnlineReader("redis://127.0.0.1:9/0", timeout_ms=200) as reader:
        with pytest.raises(StoreUnavailable, match="Redis is not available: ConnectionError"):
            await reader.user("u")
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        OnlineWriter(connect("redis://127.0.0.1:9/0")).write_users([user_snapshot("u", 1)])


async def test_a_silent_server_costs_the_timeout_and_no_answer_goes_to_another_question(
    servers: LocalStack, writer: OnlineWriter, redis_url: str
) -> None:
    writer.write_users([user_snapshot(name, 1, country=name) for name in ("a", "b", "c", "d")])
    async with OnlineReader(redis_url, timeout_ms=100) as reader:
        await reader.user("a")
        servers.kill("valkey", signal.SIGSTOP)
        try:
            began = time.monotonic()
            asked = [timed_out(reader, name) for name in ("a", "b", "c")]
            assert await asyncio.gather(*asked) == [True] * 3
            assert time.monotonic() - began < 0.6
        finally:
            servers.kill("valkey", signal.SIGCONT)
        await until_back(reader)
        for name in ("d", "c", "b", "a", "d"):
            assert (await reader.user(name)).country == name


async def test_it_works_again_soon_after_the_server_was_killed(
    servers: LocalStack, writer: OnlineWriter, redis_url: str
) -> None:
    writer.write_users([user_snapshot("u", 1)])
    async with OnlineReader(redis_url, timeout_ms=200) as reader:
        await asyncio.gather(*(reader.user("u") for _ in range(10)))
        servers.take_away("valkey")
        await asyncio.sleep(0.1)
        assert await timed_out(reader, "u")
        with pytest.raises(StoreUnavailable):
            writer.write_users([user_snapshot("u", 2)])
        servers.up("valkey")
        assert await until_back(reader) < 2
        for _ in range(20):
            await reader.user("u")
    assert writer.write_users([user_snapshot("u", 3)]) == 1


async def timed_out(reader: OnlineReader, user_id: str) -> bool:
    try:
        await reader.user(user_id)
    except StoreUnavailable:
        return True
    return False


async def until_back(reader: OnlineReader) -> float:
    """Seconds until the first answer."""
    began = time.monotonic()
    while await timed_out(reader, "anybody") and time.monotonic() - began < 20:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def contents(client: Any) -> dict[bytes, Any]:
    """Every key with its value; not the times of change, which differ from write to write."""
    return {key: _value(client, key) for key in client.scan_iter() if key != b"items:changed"}


def _value(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"hash":
            return client.hgetall(key)
        case b"zset":
            return client.zrange(key, 0, -1, withscores=True)
    return client.get(key)


def test_the_newest_of_a_batch_of_vectors_wins(writer: OnlineWriter, client: Any) -> None:
    updates: list[EmbeddingUpdate] = [embedding_update("u", version) for version in (1, 3, 2)]
    assert writer.write_embeddings(updates) == 1
    stored = client.get(EMBEDDING.of("u"))
    assert isinstance(stored, bytes)
    assert stored[:8] == (3).to_bytes(8, "little")


async def test_versions_beyond_32_bits_are_compared_whole(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    large = 2**40
    assert writer.write_embeddings([embedding_update("u", large)]) == 1
    assert writer.write_embeddings([embedding_update("u", large - 1)]) == 0
    assert writer.write_users([user_snapshot("u", large, log_time_ms=NOW_MS)]) == 1
    assert writer.write_users([user_snapshot("u", large - 1, log_time_ms=NOW_MS)]) == 0
    assert (await reader.user("u")).version == large


async def test_a_stamp_tells_each_state_of_a_user_from_every_other(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    assert await reader.user_stamp("s") == (await reader.user("s")).stamp
    stamps = [await reader.user_stamp("s")]
    for version in (1, 1, 2, 2):
        if len(stamps) % 2:
            writer.write_users([user_snapshot("s", version)])
        else:
            writer.write_embeddings([embedding_update("s", version)])
        stamps.append(await reader.user_stamp("s"))
        assert stamps[-1] == (await reader.user("s")).stamp
    assert len(set(stamps)) == 5


async def test_the_longest_versions_fit_into_a_stamp(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    far = 9_007_199_254_740_000
    writer.write_users([user_snapshot("s", far, log_time_ms=far)])
    first = await reader.user_stamp("s")
    writer.write_users([user_snapshot("s", far + 1, log_time_ms=far + 1)])
    assert await reader.user_stamp("s") != first
    assert b"timestamp_ms" not in first
