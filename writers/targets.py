"""The stores that are written, each with the topics that it takes."""

from collections.abc import Sequence
from typing import Protocol

from schemas.topics import (
    BANDIT_POSTERIORS,
    EMBEDDING_UPDATES,
    ITEM_ENGAGEMENT,
    ITEM_NEIGHBORS,
    ITEM_POPULARITY,
    ITEM_SNAPSHOTS,
    USER_SNAPSHOTS,
    Topic,
)
from schemas.types import (
    BanditPosterior,
    EmbeddingUpdate,
    ItemEngagement,
    ItemNeighbors,
    ItemPopularity,
    ItemSnapshot,
    Record,
    UserSnapshot,
)
from stores.disk_mark import DiskMark
from stores.engagement import EngagementWriter
from stores.neighbors import NeighborsWriter
from stores.online import OnlineWriter
from stores.posteriors import PosteriorWriter
from stores.records.database import Database
from stores.records.learned import LearnedWriter
from stores.redis_server import connect
from stores.vectors import VectorWriter, ensure_collections
from writers.backlog import Linger
from writers.batch import Carried, of_kind
from writers.described import described
from writers.preferred import preferred_categories

# What is written to Milvus can be found after some 200 ms; waiting about as long fills batches.
MILVUS_PAUSE_S = 0.25

# Nobody waits for rows, a transaction costs the same for one as for many, and of what is computed
# only the latest is kept.
RECORDS_PAUSE_S = 0.5
RECORDS_LINGER_S = 5.0


class Target(Protocol):
    """A store to write to. Its methods raise `StoreError`s and nothing else of the store's."""

    name: str
    topics: tuple[Topic, ...]
    pause_s: float

    @property
    def linger(self) -> Linger | None:
        """What may wait for a newer record, None for nothing."""
        ...

    @property
    def mark(self) -> DiskMark | None:
        """What tells when records are on the store's disk; None where its answer says so."""
        ...

    def prepare(self) -> None:
        """Make the store ready; called before the first write and after every failure."""
        ...

    def write(self, carried: Sequence[Carried]) -> None:
        """Write records that stand in the log's order."""
        ...


class RedisTarget:
    """The online store: users, their vectors, items, how popular they are, what rewards taught."""

    name = "redis"
    topics: tuple[Topic, ...] = (
        USER_SNAPSHOTS,
        EMBEDDING_UPDATES,
        ITEM_SNAPSHOTS,
        ITEM_POPULARITY,
        ITEM_ENGAGEMENT,
        ITEM_NEIGHBORS,
        BANDIT_POSTERIORS,
    )
    pause_s = 0.0
    linger = None

    def __init__(self, url: str) -> None:
        self.mark = DiskMark(url)
        self._writer = OnlineWriter(connect(url), describe=described)
        self._engagement = EngagementWriter(self._writer)
        self._neighbors = NeighborsWriter(self._writer)
        self._posteriors = PosteriorWriter(self._writer)

    def prepare(self) -> None:
        """See that it answers, and be told from now on when it may have lost something."""
        self._writer.ping()
        self.mark.open()

    def write(self, carried: Sequence[Carried]) -> None:
        """Write vectors before the contexts that name their versions."""
        self._writer.write_items(of_kind(carried, ItemSnapshot))
        self._writer.write_popularity(of_kind(carried, ItemPopularity))
        self._engagement.write(of_kind(carried, ItemEngagement))
        self._neighbors.write(of_kind(carried, ItemNeighbors))
        self._writer.write_embeddings(of_kind(carried, EmbeddingUpdate))
        self._writer.write_users(of_kind(carried, UserSnapshot))
        self._posteriors.write(of_kind(carried, BanditPosterior))


class MilvusTarget:
    """The vector store: vectors of users and items.

    Milvus pays for each vector that it is told: with an index built anew from time to time, which
    took half a core at 450 users' vectors a second.
    """

    name = "milvus"
    topics: tuple[Topic, ...] = (EMBEDDING_UPDATES, ITEM_SNAPSHOTS)
    pause_s = MILVUS_PAUSE_S
    mark = None

    def __init__(self, uri: str, *, token: str = "", linger_s: float = 0.0) -> None:
        self.linger = Linger(seconds=linger_s, may=_may_wait)
        self._uri = uri
        self._token = token
        self._writer = VectorWriter(uri, token=token)

    def prepare(self) -> None:
        """Have the collections."""
        ensure_collections(self._uri, token=self._token)

    def write(self, carried: Sequence[Carried]) -> None:
        """Write the vectors of users and of items."""
        self._writer.upsert_users(of_kind(carried, EmbeddingUpdate))
        self._writer.upsert_items(of_kind(carried, ItemSnapshot))


def _may_wait(record: Record) -> bool:
    """A user's vector may: whoever serves the user has it from Redis. To be forgotten may not."""
    return isinstance(record, EmbeddingUpdate) and not record.erased


def _is_computed(record: Record) -> bool:
    """What the stream goes on computing may wait; what people asked for may not."""
    if isinstance(record, UserSnapshot):
        return record.consent and not record.erased
    return isinstance(record, ItemPopularity)


class RecordsTarget:
    """The relational store: what was learned of users, and items."""

    name = "records"
    topics: tuple[Topic, ...] = (USER_SNAPSHOTS, ITEM_SNAPSHOTS, ITEM_POPULARITY)
    pause_s = RECORDS_PAUSE_S
    mark = None

    def __init__(self, url: str) -> None:
        self.linger = Linger(seconds=RECORDS_LINGER_S, may=_is_computed)
        self._database = Database(url)
        self._writer = LearnedWriter(self._database, preferred=preferred_categories)

    def prepare(self) -> None:
        """Have the tables."""
        self._database.prepare()

    def write(self, carried: Sequence[Carried]) -> None:
        """Write all in one transaction."""
        self._writer.write(
            users=of_kind(carried, UserSnapshot),
            entries=of_kind(carried, ItemSnapshot),
            moved=of_kind(carried, ItemPopularity),
        )
