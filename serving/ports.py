"""What the pipeline asks of the outside, so that a stage can be tried without servers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.topics import Topic
from schemas.types import Record
from serving.ranker import Ranking
from serving.user_tower import Direction
from stores.neighbors import NeighborsView
from stores.posteriors import PosteriorChange, PosteriorView
from stores.vectors import EVERYTHING, ItemFilter
from stores.views import ItemView, UserView

Floats = NDArray[np.float32]


class Online(Protocol):
    """The online store."""

    async def user(self, user_id: str, *, recent: int) -> UserView:
        """All that is known of a user."""
        ...

    async def user_stamp(self, user_id: str) -> bytes:
        """What tells views of a user apart."""
        ...

    async def trending(self, n: int) -> list[tuple[str, float]]:
        """The heaviest items with their weights."""
        ...

    async def items_changed_since(self, since_ms: int, *, limit: int) -> list[ItemView]:
        """Changed items, in the order of their changes."""
        ...


class Vectors(Protocol):
    """The vector store."""

    async def search_items(
        self,
        vector: Floats,
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[tuple[str, float]]:
        """The nearest items with their closeness."""
        ...

    async def search_items_each(
        self,
        vectors: Sequence[Floats],
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[list[tuple[str, float]]]:
        """The nearest items to each vector with their closeness."""
        ...


class Neighbors(Protocol):
    """What is met beside items."""

    async def of(self, item_ids: Sequence[str]) -> list[NeighborsView | None]:
        """The neighbours of each item; None where there are none."""
        ...


class Posteriors(Protocol):
    """What rewards taught."""

    async def many(self, item_ids: Sequence[str], segment: str) -> list[PosteriorView | None]:
        """The posterior of each item in a segment; None where nothing was learned."""
        ...


class PosteriorChanges(Protocol):
    """Which posteriors were written."""

    async def latest_change(self) -> str:
        """The id after which changes are to come."""
        ...

    async def changed_after(self, change_id: str, *, limit: int) -> list[PosteriorChange]:
        """The changes after one, oldest first."""
        ...


class Scores(Protocol):
    """The model server."""

    async def rank(self, features: Floats) -> Ranking:
        """A score for each row."""
        ...


class Tower(Protocol):
    """The user tower."""

    async def direction(self, told: Floats) -> Direction:
        """Where a user is headed of whom this is known."""
        ...


class Log(Protocol):
    """The event log."""

    async def append(self, topic: Topic, key: str, record: Record) -> object:
        """Write a record, and wait until it is safe."""
        ...

    async def append_each(
        self, topic: Topic, records: Sequence[tuple[str, Record]]
    ) -> Sequence[object]:
        """Write records under their keys; for each comes `LogUnavailable` unless it is safe."""
        ...
