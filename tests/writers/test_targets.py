from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.affinity import Affinities
from schemas.topics import (
    BANDIT_POSTERIORS,
    EMBEDDING_UPDATES,
    ITEM_ENGAGEMENT,
    ITEM_NEIGHBORS,
    ITEM_POPULARITY,
    ITEM_SNAPSHOTS,
    USER_SNAPSHOTS,
)
from schemas.types import Record
from stores.errors import StoreUnavailable
from stores.event_log import LogMessage
from stores.log_producer import Position
from stores.records.database import Database
from stores.records.reading import RecordReader
from tests.stores.records import (
    bandit_posterior,
    embedding_update,
    item_engagement,
    item_neighbors,
    item_popularity,
    item_snapshot,
    user_snapshot,
)
from writers import targets
from writers.batch import Carried
from writers.targets import MilvusTarget, RecordsTarget, RedisTarget

USER, UPDATE = user_snapshot("u", 1), embedding_update("u", 1)
ITEM, MOVED = item_snapshot("i", 1), item_popularity("i", 2)
ENGAGED, BESIDE = item_engagement("i", 1, all_1h=1.0), item_neighbors("i", 1, j=0.5)
LEARNED = bandit_posterior("i", 1)


class Writer:
    """Remembers what a store would have been told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Sequence[Record]]] = []

    def __getattr__(self, method: str) -> Any:
        return lambda records: self.told.append((method, list(records)))


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    writer = Writer()
    monkeypatch.setattr(targets, "OnlineWriter", lambda *_, **__: writer)
    for name in ("EngagementWriter", "NeighborsWriter", "PosteriorWriter"):
        monkeypatch.setattr(targets, name, lambda *_: writer)
    monkeypatch.setattr(targets, "VectorWriter", lambda *_, **__: writer)
    return writer


def carried(*records: Record) -> list[Carried]:
    position = Position(topic="t", partition=0, offset=0, log_time_ms=0)
    return [Carried(LogMessage(position=position, key=None, value=None), one) for one in records]


def test_redis_is_told_everything_and_vectors_before_the_users_that_name_them(
    writer: Writer,
) -> None:
    target = RedisTarget("redis://anywhere")
    target.write(carried(LEARNED, USER, BESIDE, ENGAGED, MOVED, UPDATE, ITEM))
    assert writer.told == [
        ("write_items", [ITEM]),
        ("write_popularity", [MOVED]),
        ("write", [ENGAGED]),
        ("write", [BESIDE]),
        ("write_embeddings", [UPDATE]),
        ("write_users", [USER]),
        ("write", [LEARNED]),
    ]
    assert set(target.topics) == {
        USER_SNAPSHOTS,
        EMBEDDING_UPDATES,
        ITEM_SNAPSHOTS,
        ITEM_POPULARITY,
        ITEM_ENGAGEMENT,
        ITEM_NEIGHBORS,
        BANDIT_POSTERIORS,
    }


def test_milvus_is_told_vectors_and_never_reads_what_moves_with_each_event(
    writer: Writer,
) -> None:
    target = MilvusTarget("http://anywhere")
    target.write(carried(ITEM, UPDATE))
    assert writer.told == [("upsert_users", [UPDATE]), ("upsert_items", [ITEM])]
    assert set(target.topics) == {EMBEDDING_UPDATES, ITEM_SNAPSHOTS}


def test_records_are_told_users_and_items_and_what_is_computed_of_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.sqlite"
    target = RecordsTarget(url)
    with pytest.raises(StoreUnavailable, match="no such table"):
        target.write(carried(USER))
    target.prepare()
    likes = Affinities()
    likes.add(likes.number_of("mugs", in_use=set), 1.0, timestamp_ms=0)
    target.write(carried(ITEM, replace(USER, affinities=likes.to_bytes()), MOVED))
    with Database(url) as database:
        reader = RecordReader(database)
        user = reader.profile("u")
        assert user is not None
        assert user.learned is not None
        assert user.learned.preferred_categories == {"mugs": 1.0}
        item = reader.item("i")
    assert item is not None
    assert (item["title"], item["popularity_score"]) == ("Title of i", 2.0)
    assert set(target.topics) == {USER_SNAPSHOTS, ITEM_SNAPSHOTS, ITEM_POPULARITY}
