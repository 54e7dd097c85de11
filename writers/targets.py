"""The stores that are written, each with the topics that it takes."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from schemas.topics import EMBEDDING_UPDATES, ITEM_SNAPSHOTS, USER_SNAPSHOTS, Topic
from schemas.types import EmbeddingUpdate, ItemSnapshot, UserSnapshot
from stores.online import OnlineWriter, connect
from stores.vectors import VectorWriter, ensure_collections
from writers.batch import Carried, of_kind

REMEMBERED_ITEMS = 200_000
# What is written to Milvus can be found after some 200 ms; waiting for half of that fills batches.
MILVUS_PAUSE_S = 0.1


class Target(Protocol):
    """A store to write to. Its methods raise `StoreError`s and nothing else of the store's."""

    name: str
    topics: tuple[Topic, ...]
    pause_s: float

    def prepare(self) -> None:
        """Make the store ready; called before the first write and after every failure."""
        ...

    def write(self, carried: Sequence[Carried]) -> None:
        """Write records that stand in the log's order."""
        ...


class RedisTarget:
    """The online store: users, their vectors, items."""

    name = "redis"
    topics: tuple[Topic, ...] = (USER_SNAPSHOTS, EMBEDDING_UPDATES, ITEM_SNAPSHOTS)
    pause_s = 0.0

    def __init__(self, url: str) -> None:
        self._writer = OnlineWriter(connect(url))

    def prepare(self) -> None:
        """See that it answers."""
        self._writer.ping()

    def write(self, carried: Sequence[Carried]) -> None:
        """Write vectors before the contexts that name their versions."""
        self._writer.write_items(of_kind(carried, ItemSnapshot))
        self._writer.write_embeddings(of_kind(carried, EmbeddingUpdate))
        self._writer.write_users(of_kind(carried, UserSnapshot))


class MilvusTarget:
    """The vector store: vectors of users and items."""

    name = "milvus"
    topics: tuple[Topic, ...] = (EMBEDDING_UPDATES, ITEM_SNAPSHOTS)
    pause_s = MILVUS_PAUSE_S

    def __init__(self, uri: str, *, token: str = "") -> None:
        self._uri = uri
        self._token = token
        self._writer = VectorWriter(uri, token=token)
        self._written: OrderedDict[str, int] = OrderedDict()

    def prepare(self) -> None:
        """Have the collections; a store that was away may have lost what it was told."""
        self._written.clear()
        ensure_collections(self._uri, token=self._token)

    def write(self, carried: Sequence[Carried]) -> None:
        """Write users, and those items of which more than the popularity has changed.

        That is found by comparing with what this process has written, not by the snapshot's own
        `catalog_changed`: of a compacted topic only the last snapshot of an item is left.
        """
        self._writer.upsert_users(of_kind(carried, EmbeddingUpdate))
        last = {item.item_id: item for item in of_kind(carried, ItemSnapshot)}
        changed = [item for item in last.values() if self._is_news(item)]
        self._writer.upsert_items(changed)
        for item in changed:
            self._remember(item)

    def _is_news(self, item: ItemSnapshot) -> bool:
        return self._written.get(item.item_id) != _substance(item)

    def _remember(self, item: ItemSnapshot) -> None:
        self._written[item.item_id] = _substance(item)
        self._written.move_to_end(item.item_id)
        if len(self._written) > REMEMBERED_ITEMS:
            self._written.popitem(last=False)


def _substance(item: ItemSnapshot) -> int:
    """A number for all of an item that can be searched for."""
    catalog = item.catalog
    return hash((item.deleted, item.unified, catalog and catalog.updated_at_ms))
