from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.redis_keys import (
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    SESSION,
    USER_AGGREGATES,
    USER_ERASED,
    USER_FEATURES,
)
from schemas.types import Embedding, EmbeddingUpdate, UserSnapshot
from stores.online import OnlineReader, OnlineWriter
from stores.users import Described
from tests.stores.records import NOW_MS, embedding_update, interaction, unit, user_snapshot

pytestmark = pytest.mark.e2e


def half(seed: int, *, dim: int) -> bytes:
    return (unit(seed, dim=dim) * 7).astype("<f2").tobytes()


def update(version: int, *, session_number: int = 1, **more: Any) -> EmbeddingUpdate:
    return replace(
        embedding_update("u", version),
        log_time_ms=NOW_MS + version,
        day_vector=half(version, dim=512),
        session_vector=half(version, dim=256),
        session_number=session_number,
        **more,
    )


def refusal(version: int) -> UserSnapshot:
    return user_snapshot("u", version, consent=False, session_id=None)


def erasure(version: int) -> UserSnapshot:
    return user_snapshot("u", version, erased=True)


def erased_update(version: int) -> EmbeddingUpdate:
    empty = Embedding(vector=b"", version=version)
    return EmbeddingUpdate(
        user_id="u",
        timestamp_ms=NOW_MS,
        log_time_ms=NOW_MS + version,
        embedding=empty,
        erased=True,
    )


def keys(client: Any) -> set[str]:
    return {key.decode() for key in client.keys("*")}


def is_guard(key: str) -> bool:
    return key.startswith(USER_ERASED.of(""))


async def test_the_vectors_of_day_and_visit_are_read_as_directions(
    writer: OnlineWriter, reader: OnlineReader, client: Any
) -> None:
    writer.write_embeddings([update(3)])
    writer.write_users([user_snapshot("u", 3)])
    user = await reader.user("u")
    assert user.day_vector is not None
    assert user.session_vector is not None
    assert user.day_vector == pytest.approx(unit(3), abs=1e-3)
    assert float(np.linalg.norm(user.day_vector)) == pytest.approx(1.0, abs=1e-6)
    assert user.session_vector == pytest.approx(unit(3, dim=256), abs=1e-3)
    for key in (EMBEDDING_DAY, EMBEDDING_SESSION):
        assert key.ttl_s is not None
        assert 0 < client.ttl(key.of("u")) <= key.ttl_s
    assert writer.write_embeddings([update(2)]) == 0
    assert (await reader.user("u")).day_vector == pytest.approx(unit(3), abs=1e-3)


async def test_the_vector_of_an_earlier_visit_is_not_read(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    writer.write_embeddings([update(3)])
    writer.write_users([user_snapshot("u", 4, total_sessions=2)])
    assert (await reader.user("u")).session_vector is None


async def test_what_was_met_lately_is_told_by_what_was_done(
    writer: OnlineWriter, reader: OnlineReader
) -> None:
    met: list[dict[str, Any]] = [
        {"event_type": "view", "item_id": "a", "duration_ms": 31_000},
        {"event_type": "click", "item_id": "a"},
        {"event_type": "view", "item_id": "b", "duration_ms": 30_000},
        {"event_type": "search", "item_id": None, "text": "mugs"},
        {"event_type": "view", "item_id": "a"},
    ]
    writer.write_users(
        [
            user_snapshot("u", n, interaction=interaction(f"e{n}", at_ms=NOW_MS + n, **more))
            for n, more in enumerate(met, start=1)
        ]
    )
    user = await reader.user("u")
    assert (user.viewed_items, user.clicked_items) == (["a", "b"], ["a"])
    assert (user.engaged_items, user.search_queries) == (["a"], ["mugs"])


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("last", [refusal(4), erasure(4)])
async def test_who_is_to_be_forgotten_is(
    writer: OnlineWriter,
    reader: OnlineReader,
    client: Any,
    last: UserSnapshot,
    *,
    together: bool,
) -> None:
    before = [user_snapshot("u", n) for n in (1, 2, 3)]
    others = keys(client)
    for updates in (
        [[update(3), erased_update(4)]] if together else [[update(3)], [erased_update(4)]]
    ):
        writer.write_embeddings(updates)
    for users in [[*before, last]] if together else [before, [last]]:
        writer.write_users(users)
    left = {key for key in keys(client) - others if not is_guard(key)}
    assert left == (set() if last.erased else {"context:u"})
    user = await reader.user("u")
    assert (user.known, user.consent) == (not last.erased, last.erased)
    assert (user.recent, user.embedding, user.windows) == ((), None, b"")


@pytest.mark.parametrize("last", [refusal(4), erasure(4)])
async def test_a_slower_writer_brings_nothing_back(
    writer: OnlineWriter, reader: OnlineReader, client: Any, last: UserSnapshot
) -> None:
    writer.write_embeddings([update(3), erased_update(4)])
    writer.write_users([last])
    assert writer.write_users([user_snapshot("u", 3)]) == 0
    assert writer.write_embeddings([update(3)]) == 0
    user = await reader.user("u")
    assert (user.recent, user.embedding) == ((), None)
    (guard,) = [key for key in keys(client) if is_guard(key)]
    assert "u" not in guard.removeprefix(USER_ERASED.of(""))
    assert 0 < client.ttl(guard) <= (USER_ERASED.ttl_s or 0)


@pytest.mark.parametrize("together", [True, False])
async def test_who_comes_back_begins_anew(
    writer: OnlineWriter, reader: OnlineReader, *, together: bool
) -> None:
    again = user_snapshot("u", 1, log_time_ms=NOW_MS + 9)
    learned = replace(update(1), log_time_ms=NOW_MS + 9)
    users = [user_snapshot("u", 3), erasure(4), again]
    updates = [update(3), erased_update(4), learned]
    for batch in [updates] if together else [[one] for one in updates]:
        writer.write_embeddings(batch)
    for group in [users] if together else [[one] for one in users]:
        writer.write_users(group)
    user = await reader.user("u")
    assert (user.version, user.embedding_version) == (1, 1)
    assert [one.event_id for one in user.recent] == ["u-1"]
    # Told again, as by a writer that crashed: what came later stays.
    writer.write_users([erasure(4)])
    assert (await reader.user("u")).version == 1


def test_what_is_described_is_written_with_the_user(client: Any) -> None:
    def describe(user: UserSnapshot) -> Described:
        return Described(
            features={"session_views_5min": user.version, "session_categories": ["mugs"]},
            aggregates={"views_24h": 7, "ctr_24h": 0.5},
            context={"long_term": {"preferred_categories": ["mugs"]}},
        )

    writer = OnlineWriter(client, describe=describe)
    writer.write_users([user_snapshot("u", 9)])
    features, told = client.hgetall(USER_FEATURES.of("u")), client.hgetall(USER_AGGREGATES.of("u"))
    assert (features[b"session_views_5min"], features[b"version"]) == (b"9", b"9")
    assert features[b"session_categories"] == b'["mugs"]'
    assert told == {b"views_24h": b"7", b"ctr_24h": b"0.5"}
    assert b'"preferred_categories":["mugs"]' in client.get("context:u")
    assert client.exists(SESSION.of("session-u"))
    assert 0 < client.ttl(USER_AGGREGATES.of("u")) <= (USER_AGGREGATES.ttl_s or 0)
