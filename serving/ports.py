"""What the pipeline asks of the outside, so that a stage can be tried without servers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.topics import Topic
from schemas.types import Record
from serving.ranker import Ranking
from stores.neighbors import NeighborsView
from stores.vectors import EVERYTHING, ItemFilter
from stores.views import ItemView, UserView

Floats = NDArray[np.float32]


class Online(Protocol):
    """The online store."""

    async def user(self, user_id: str, *, recent: int) -> UserView:
        """All that is known of a user."""
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


class Neighbors(Protocol):
    """What is met beside an item."""

    async def of(self, item_ids: Sequence[str]) -> Sequence[NeighborsView | None]:
        """The neighbours of some items, in their order."""
        ...


class Scores(Protocol):
    """The model server."""

    async def rank(self, features: Floats) -> Ranking:
        """A score for each row."""
        ...


class Log(Protocol):
    """The event log."""

    async def append(self, topic: Topic, key: str, record: Record) -> object:
        """Write a record, and wait until it is safe."""
        ...
