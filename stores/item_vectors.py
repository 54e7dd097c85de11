"""What an operator needs of items: from the online store, through a bounded cache."""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from schemas.redis_keys import ITEM
from stores.errors import StoreUnavailable
from stores.redis_server import connect, translated
from stores.views import Vector, vector_of

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
MISS_LIFETIME_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredItem:
    """What the catalogue says of an item, as far as events need it; the vector is read-only."""

    vector: Vector | None = None
    category: str | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    item: StoredItem | None
    until: float


class ItemVectors:
    """Items by their id. While the store is away `get` waits, so that nothing is computed wrong.

    An item is remembered for `lifetime_s`; that it has no vector, for a second at most.
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
            entry = self._remember(item_id, self._fetch(item_id))
        self._entries.move_to_end(item_id)
        return entry.item

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _remember(self, item_id: str, item: StoredItem | None) -> _Entry:
        lifetime_s = self._lifetime_s
        if item is None or item.vector is None:
            lifetime_s = min(lifetime_s, MISS_LIFETIME_S)
        entry = _Entry(item, self._clock() + lifetime_s)
        self._entries[item_id] = entry
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return entry

    def _fetch(self, item_id: str) -> StoredItem | None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return self._read(item_id)
            except StoreUnavailable as error:
                log.warning("waiting for item %s: %s", item_id, error)
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _read(self, item_id: str) -> StoredItem | None:
        with translated():
            # The client's types don't say that this one doesn't decode and doesn't wait.
            stored = cast(
                "list[bytes | None]", self._client.hmget(ITEM.of(item_id), ["vector", "catalog"])
            )
        return _item(item_id, *stored)


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
