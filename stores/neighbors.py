"""Which items are met beside an item, in the online store."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from schemas.redis_keys import NEIGHBORS
from schemas.types import ItemNeighbors
from stores.errors import MISREAD
from stores.newest import newest
from stores.online import OnlineWriter
from stores.redis_server import RedisReader

SCRIPT = "neighbors"
READ = ["version", "timestamp_ms", "neighbors", "scores"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborsView:
    """The neighbours of an item with their scores, best first, as of `timestamp_ms`.

    A score is the share of what is met beside the item: scores of several items may be added.
    """

    version: int
    timestamp_ms: int
    scored: tuple[tuple[str, float], ...]


class NeighborsWriter:
    """Writes what the job emits, a batch in one round trip; an older one never replaces a newer."""

    def __init__(self, online: OnlineWriter) -> None:
        self._online = online

    def write(self, told: Sequence[ItemNeighbors]) -> int:
        """Write the latest of each item; answer how many were not older."""
        latest = newest(told, attrgetter("item_id"))
        return self._online.run_script(SCRIPT, (_call(one) for one in latest.values()))


class NeighborsReader(RedisReader):
    """Reads for the service, each call within its time or `StoreUnavailable`; creates no keys."""

    async def of(self, item_ids: Sequence[str]) -> list[NeighborsView | None]:
        """Read items in one round trip, in their order; None for those without neighbours."""
        if not item_ids:
            return []
        found = await self._answers(*(("HMGET", NEIGHBORS.of(one), *READ) for one in item_ids))
        return [_view(*one) for one in zip(item_ids, found, strict=True)]


def _call(told: ItemNeighbors) -> tuple[list[str], list[Any]]:
    arguments = [
        *(told.version, told.log_time_ms, NEIGHBORS.ttl_s),
        *("timestamp_ms", told.timestamp_ms),
        *("neighbors", json.dumps(told.neighbors, ensure_ascii=False, separators=(",", ":"))),
        *("scores", np.array(told.scores, "<f4").tobytes()),
    ]
    return [NEIGHBORS.of(told.item_id)], arguments


def _view(item_id: str, stored: Sequence[bytes | None]) -> NeighborsView | None:
    version, timestamp_ms, names, scores = (value or b"" for value in stored)
    if not version:
        return None
    try:
        return NeighborsView(
            version=int(version), timestamp_ms=int(timestamp_ms), scored=_scored(names, scores)
        )
    except MISREAD as error:
        log.warning("neighbours of %s can't be read (%s), count as missing", item_id, error)
        return None


def _scored(names: bytes, scores: bytes) -> tuple[tuple[str, float], ...]:
    found, shares = json.loads(names), np.frombuffer(scores, "<f4")
    if not all(isinstance(name, str) for name in found) or not np.isfinite(shares).all():
        raise ValueError("a name is no text, or a score no number")
    return tuple(zip(found, shares.tolist(), strict=True))
