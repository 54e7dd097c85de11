"""What an operator needs of items: from the online store, through a bounded cache."""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from schemas.redis_keys import ITEM
from stores.errors import StoreUnavailable
from stores.redis_server import connect, translated
from stores.views import Vector, vector_of

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
MISS_LIFETIME_S = 1.0
# How many items are read again at once, and how much of their lifetime may be left then.
AGAIN_AT_ONCE, AGAIN_LEFT = 256, 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredItem:
    """What the catalogue says of an item, as far as events need it; the vector is read-only."""

    vector: Vector | None = None
    category: str | None = None
    price: float | None = None


@dataclass(slots=True)
class _Entry:
    item: StoredItem | None
    until: float
    used: bool = False


class ItemVectors:
    """Items by their id. While the store is away `get` waits, so that nothing is computed wrong.

    An item is remembered for `lifetime_s`; that it has no vector, for a second at most. When one
    has to be read again, those in use that will be due soon are read with it: who asks waits for
    the server rarely, and not once an item.
    """

    def __init__(
        self,
        url: str,
        *,
        size: int = 10_000,
        lifetime_s: float = 60.0,
        timeout_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = connect(url, timeout_s=timeout_s)
        self._size = size
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._sleep = sleep
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def get(self, item_id: str) -> StoredItem | None:
        """Answer the item, or None for one that is not there."""
        entry = self._entries.get(item_id)
        if entry is None or entry.until <= self._clock():
            self._read_anew([item_id] if entry is None else self._due_soon(item_id))
            entry = self._entries[item_id]
        entry.used = True
        self._entries.move_to_end(item_id)
        return entry.item

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _due_soon(self, item_id: str) -> list[str]:
        """The item, and others in use whose time is nearly over, the last used first."""
        soon = self._clock() + self._lifetime_s * AGAIN_LEFT
        others = (
            name
            for name, entry in reversed(self._entries.items())
            if entry.used and entry.until <= soon and name != item_id
        )
        return [item_id, *islice(others, AGAIN_AT_ONCE - 1)]

    def _read_anew(self, item_ids: Sequence[str]) -> None:
        for item_id, item in zip(item_ids, self._fetch(item_ids), strict=True):
            self._entries[item_id] = _Entry(item, self._clock() + self._lifetime_of(item))
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def _lifetime_of(self, item: StoredItem | None) -> float:
        known = item is not None and item.vector is not None
        return self._lifetime_s if known else min(self._lifetime_s, MISS_LIFETIME_S)

    def _fetch(self, item_ids: Sequence[str]) -> list[StoredItem | None]:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._read(item_ids)
            except StoreUnavailable as error:
                log.warning("waiting for item %s: %s", item_ids[0], error)
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _read(self, item_ids: Sequence[str]) -> list[StoredItem | None]:
        with translated(), self._client.pipeline(transaction=False) as pipeline:
            for item_id in item_ids:
                pipeline.hmget(ITEM.of(item_id), ["vector", "catalog"])
            return [
                _item(item_id, *stored)
                for item_id, stored in zip(item_ids, pipeline.execute(), strict=True)
            ]


def _item(item_id: str, vector: bytes | None, catalog: bytes | None) -> StoredItem | None:
    if vector is None and catalog is None:
        return None
    told = json.loads(catalog) if catalog else {}
    price = told.get("price")
    return StoredItem(
        vector=vector_of(vector, f"item {item_id}"),
        category=told.get("category_id") or next(iter(told.get("categories") or ()), None),
        price=None if price is None else float(price),
    )
