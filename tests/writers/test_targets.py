from collections.abc import Sequence

import pytest

from schemas.types import EmbeddingUpdate, ItemSnapshot, Record
from stores.event_log import LogMessage, Position
from tests.stores.records import deleted_item, embedding_update, item_event, item_snapshot, unit
from writers import targets
from writers.batch import Carried
from writers.targets import MilvusTarget


class Writer:
    """Remembers what Milvus would have been told."""

    def __init__(self, *_: object, **__: object) -> None:
        self.users: list[EmbeddingUpdate] = []
        self.items: list[ItemSnapshot] = []

    def upsert_users(self, updates: Sequence[EmbeddingUpdate]) -> None:
        self.users.extend(updates)

    def upsert_items(self, items: Sequence[ItemSnapshot]) -> None:
        self.items.extend(items)


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    writer = Writer()
    monkeypatch.setattr(targets, "VectorWriter", lambda *_, **__: writer)
    monkeypatch.setattr(targets, "ensure_collections", lambda *_, **__: [])
    return writer


def carried(*records: Record) -> list[Carried]:
    position = Position(topic="t", partition=0, offset=0, log_time_ms=0)
    return [Carried(LogMessage(position=position, key=None, value=None), one) for one in records]


def test_an_item_is_written_when_more_than_its_popularity_has_changed(writer: Writer) -> None:
    target = MilvusTarget("http://anywhere")
    same = {"unified": unit(1, dim=1024).tobytes()}
    first = item_snapshot("i", 1, catalog_changed=False, **same)
    news = [
        item_snapshot("i", 3, unified=unit(2, dim=1024).tobytes()),
        item_snapshot("i", 4, catalog=item_event("i", updated_at_ms=5), **same),
        deleted_item("i", 5),
        item_snapshot("i", 6, **same),
    ]
    target.write(carried(first))
    target.write(carried(item_snapshot("i", 2, popularity=9.0, **same)))
    assert writer.items == [first]
    for item in news:
        target.write(carried(item))
    assert writer.items == [first, *news]


def test_of_a_batch_the_last_snapshot_of_an_item_counts(writer: Writer) -> None:
    target = MilvusTarget("http://anywhere")
    target.write(carried(item_snapshot("i", 1), embedding_update("u", 1), item_snapshot("i", 2)))
    assert [item.version for item in writer.items] == [2]
    assert [update.user_id for update in writer.users] == ["u"]


def test_after_an_outage_everything_is_news_again(writer: Writer) -> None:
    target = MilvusTarget("http://anywhere")
    target.write(carried(item_snapshot("i", 1)))
    target.prepare()
    target.write(carried(item_snapshot("i", 1)))
    assert len(writer.items) == 2


def test_what_was_written_is_remembered_up_to_a_limit(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "REMEMBERED_ITEMS", 2)
    target = MilvusTarget("http://anywhere")
    for name in ("a", "b", "c", "c", "a"):
        target.write(carried(item_snapshot(name, 1)))
    assert [item.item_id for item in writer.items] == ["a", "b", "c", "a"]
