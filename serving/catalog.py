"""The catalogue in memory: what ranking and the fallbacks need of every item, kept in step.

Columns go by row. A row belongs to one item for as long as the process lives, so that a row found
before a wait means the same item after it. Arrays grow by doubling. Everything runs on the event
loop; nothing here waits.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.candidates import Rows
from domain.cold_start import one_of_each
from domain.mood_rules import LABELS
from schemas.collections import USER_DIM
from schemas.types import ItemEvent
from stores.views import ItemView

FIRST_CAPACITY = 1_024
POPULAR = 1_000
DAY_MS = 86_400_000.0
FRESH_DAYS = 7.0
NO_CATEGORY = -1
# The traits that labels tell of, a bit each.
TRAITS = tuple(dict.fromkeys(LABELS.values()))

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a request lets into its list. A price limit leaves out items of unknown price."""

    categories: Collection[str] = ()
    exclude: Collection[str] = ()
    min_price: float | None = None
    max_price: float | None = None
    min_quality: float | None = None


class Catalog:
    """Every item that the online store has told of.

    `version` counts all changes, `entries_version` those of more than an item's popularity.
    Arrays are replaced when they grow: read them from here each time, and keep none over a wait.
    """

    def __init__(self, *, dim: int = USER_DIM) -> None:
        self.ids: list[str] = []
        self.entries: list[ItemEvent | None] = []
        self.version = 0
        self.entries_version = 0
        self.categories: list[str] = []
        self.popular: Rows = np.empty(0, np.int64)
        self.newest: Rows = np.empty(0, np.int64)
        self.trending: list[int] = []
        self._spaces = Counter[str | None]()
        self._row_of: dict[str, int] = {}
        self._category_code: dict[str, int] = {}
        self._arrays: dict[str, NDArray[Any]] = {
            "vectors": np.zeros((FIRST_CAPACITY, dim), np.float32),
            "prices": np.full(FIRST_CAPACITY, np.nan),
            "popularity": np.zeros(FIRST_CAPACITY),
            "quality": np.zeros(FIRST_CAPACITY, np.float32),
            "created_ms": np.zeros(FIRST_CAPACITY),
            "category": np.full(FIRST_CAPACITY, NO_CATEGORY, np.int64),
            "trend": np.zeros(FIRST_CAPACITY, np.float32),
            "traits": np.zeros(FIRST_CAPACITY, np.uint32),
            "servable": np.zeros(FIRST_CAPACITY, np.bool_),
            "has_vector": np.zeros(FIRST_CAPACITY, np.bool_),
        }

    def __len__(self) -> int:
        """Items that may be shown."""
        return int(np.count_nonzero(self.column("servable")))

    def column(self, name: str) -> NDArray[Any]:
        """The values of all rows; a view, not a copy."""
        return self._arrays[name][: len(self.ids)]

    @property
    def space(self) -> str | None:
        """What most of the vectors are comparable with, as their encoder says."""
        return max(self._spaces, key=self._spaces.__getitem__, default=None)

    def row(self, item_id: str) -> int | None:
        """Where an item stands, if it is known."""
        return self._row_of.get(item_id)

    def rows(self, item_ids: Iterable[str]) -> list[int]:
        """Where the known ones among some items stand, in their order."""
        return [row for item_id in item_ids if (row := self._row_of.get(item_id)) is not None]

    def apply(self, items: Sequence[ItemView], *, now_ms: int) -> None:
        """Take over changed items."""
        if not items:
            return
        for item in items:
            self._put(item)
        self.version += len(items)
        self._order_lists(now_ms)

    def set_trending(self, heaviest: Sequence[tuple[str, float]]) -> None:
        """Take over the trending list, heaviest first, as shares of the heaviest.

        Weights are base-2 logarithms, as `domain/popularity.py` keeps them.
        """
        trend = self.column("trend")
        trend[:] = 0.0
        known = [(row, weight) for item, weight in heaviest if (row := self.row(item)) is not None]
        if known:
            rows, weights = zip(*known, strict=True)
            trend[list(rows)] = np.exp2(np.array(weights) - max(weights))
        self.trending = [row for row, _ in known if self.column("servable")[row]]

    def admitted(self, wanted: Wanted) -> Mask:
        """Which rows may be in a list."""
        mask = self.column("servable").copy()
        if wanted.categories:
            codes = [self._category_code.get(name, -2) for name in wanted.categories]
            mask &= np.isin(self.column("category"), codes)
        if wanted.min_price is not None:
            mask &= self.column("prices") >= wanted.min_price
        if wanted.max_price is not None:
            mask &= self.column("prices") <= wanted.max_price
        if wanted.min_quality is not None:
            mask &= self.column("quality") >= wanted.min_quality
        mask[self.rows(wanted.exclude)] = False
        return mask

    def nearest(self, vector: Floats, k: int, *, among: Mask) -> Rows:
        """The rows of the `k` most similar items among some, nearest first; exact."""
        closeness = self.column("vectors") @ vector
        closeness[~(among & self.column("has_vector"))] = -np.inf
        best = _top(closeness, k)
        return _only(best, np.isfinite(closeness))

    def freshness(self, rows: Rows, *, now_ms: int) -> Floats:
        """1 for an item made now, 1/e after a week; 0 where it is not known."""
        created = self.column("created_ms")[rows]
        days = np.maximum(0.0, now_ms - created) / DAY_MS
        return np.where(created > 0, np.exp(-days / FRESH_DAYS), 0.0).astype(np.float32)

    def category_of(self, row: int) -> str | None:
        """The name of a row's category."""
        code = int(self.column("category")[row])
        return None if code == NO_CATEGORY else self.categories[code]

    def categories_of(self, rows: Rows) -> list[str | None]:
        """The names of some rows' categories."""
        # The number of no category, -1, finds the last.
        names = [*self.categories, None]
        return [names[code] for code in self.column("category")[rows].tolist()]

    def traits(self, rows: Rows) -> dict[str, Mask]:
        """Which of some rows have which of the traits that labels tell of."""
        bits = self.column("traits")[rows]
        return {name: (bits >> place & 1).astype(np.bool_) for place, name in enumerate(TRAITS)}

    def ids_of(self, rows: Rows) -> list[str]:
        """The ids of some rows."""
        return [self.ids[row] for row in rows.tolist()]

    def best_of_categories(self) -> list[int]:
        """The most popular item of each category, and of no category."""
        return one_of_each(self.popular.tolist(), self.column("category").tolist())

    def _put(self, item: ItemView) -> None:
        row = self._row_of.get(item.item_id)
        if row is None:
            row = self._new_row(item.item_id)
        entry = None if item.deleted else item.catalog
        arrays = self._arrays
        if entry != self.entries[row] or not np.array_equal(
            arrays["vectors"][row], 0.0 if item.vector is None else item.vector
        ):
            self.entries_version += 1
        self._count_space(row, by=-1)
        self.entries[row] = entry
        arrays["servable"][row] = entry is not None and is_servable(entry)
        arrays["has_vector"][row] = item.vector is not None
        arrays["vectors"][row] = 0.0 if item.vector is None else item.vector
        arrays["popularity"][row] = known_popularity(item)
        if entry is not None:
            arrays["prices"][row] = np.nan if entry.price is None else entry.price
            arrays["quality"][row] = entry.quality_score
            arrays["created_ms"][row] = entry.created_at_ms or entry.published_at_ms or 0
            arrays["category"][row] = self._code_of(entry.category_id)
            arrays["traits"][row] = _traits_of(entry)
        self._count_space(row, by=1)

    def _count_space(self, row: int, *, by: int) -> None:
        entry = self.entries[row]
        if entry is not None and self._arrays["has_vector"][row]:
            self._spaces[entry.embedding_space] += by

    def _new_row(self, item_id: str) -> int:
        row = len(self.ids)
        if row == len(self._arrays["servable"]):
            self._arrays = {name: _doubled(array) for name, array in self._arrays.items()}
        self.ids.append(item_id)
        self.entries.append(None)
        self._row_of[item_id] = row
        return row

    def _code_of(self, category: str | None) -> int:
        if category is None:
            return NO_CATEGORY
        code = self._category_code.setdefault(category, len(self.categories))
        if code == len(self.categories):
            self.categories.append(category)
        return code

    def _order_lists(self, now_ms: int) -> None:
        hidden = ~self.column("servable")
        popularity = self.column("popularity").copy()
        popularity[hidden] = -np.inf
        created = np.minimum(self.column("created_ms"), now_ms)
        created[hidden] = -np.inf
        self.popular = _only(_top(popularity, POPULAR), ~hidden)
        self.newest = _only(_top(created, POPULAR), ~hidden)


def known_popularity(item: ItemView) -> float:
    """How much an item was ever met: its events, and what the catalogue says beside them.

    It doesn't decay, unlike trending, so that a list of popular items outlives a quiet night.
    """
    return item.total_events + (item.catalog.popularity_score if item.catalog else 0.0)


def is_servable(entry: ItemEvent) -> bool:
    """Whether an item may be shown at all.

    >>> is_servable(ItemEvent(item_id="a", updated_at_ms=1, availability="out_of_stock"))
    False
    """
    return (
        entry.operation == "upsert"
        and entry.is_active
        and entry.visibility == "public"
        and entry.availability != "out_of_stock"
    )


def _traits_of(entry: ItemEvent) -> int:
    labels = {entry.category_id, *entry.categories, *entry.tags}
    names = {trait for label, trait in LABELS.items() if label in labels}
    return sum(1 << place for place, name in enumerate(TRAITS) if name in names)


def _only(rows: Rows, kept: Mask) -> Rows:
    chosen: Rows = rows[kept[rows]]
    return chosen


def _top(values: NDArray[Any], k: int) -> Rows:
    """The places of the greatest values, greatest first; equal ones in order of their place."""
    everything = k >= len(values)
    best: Rows = np.arange(len(values)) if everything else np.argpartition(-values, k - 1)[:k]
    ordered: Rows = best[np.lexsort((best, -values[best]))]
    return ordered


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    grown = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    grown[len(array) :] = np.nan if array.dtype == np.float64 else 0
    return grown
