"""What rewards taught of items in segments, in the online store."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np

from schemas.redis_keys import BANDIT, BANDIT_CHANGES
from schemas.types import BanditPosterior
from stores.errors import read_from
from stores.newest import newest
from stores.online import OnlineWriter
from stores.redis_server import STORE, RedisReader
from stores.views import Vector

SCRIPT = "bandit"

# Where each field of a view lies in the hash, beside version and log time.
NUMBERS = ("alpha", "beta", "prior_alpha", "prior_beta")
COUNTS = ("total_impressions", "total_rewards", "exploration_count", "exploitation_count")
READ = (
    *("version", "log_time_ms", "updated_at", "context_weights", "variances"),
    *NUMBERS,
    *COUNTS,
)

# Of a context.
FEATURES = 64
# Rewards are at most 1, so nothing that was learned comes near.
LARGEST = 1e6

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PosteriorView:
    """What the online store knows of an item in a segment, as of `timestamp_ms`.

    Weights and variances, 64 of each, are None where no reward came with a context yet.
    """

    version: int
    log_time_ms: int
    timestamp_ms: int
    alpha: float
    beta: float
    prior_alpha: float
    prior_beta: float
    weights: Vector | None = field(default=None, repr=False)
    variances: Vector | None = field(default=None, repr=False)
    total_impressions: int = 0
    total_rewards: int = 0
    exploration_count: int = 0
    exploitation_count: int = 0


class PosteriorWriter:
    """Writes what the job emits, a batch in one round trip; an older one never replaces a newer."""

    def __init__(self, online: OnlineWriter) -> None:
        self._online = online

    def write(self, posteriors: Sequence[BanditPosterior]) -> int:
        """Write the latest of each item in each segment; answer how many were not older."""
        latest = newest(posteriors, lambda one: BANDIT.of(one.item_id, one.context_segment))
        return self._online.run_script(SCRIPT, (_call(*one) for one in latest.items()))


@dataclass(frozen=True, slots=True)
class PosteriorChange:
    """That a posterior was written; changes come in the order of their ids."""

    change_id: str
    item_id: str
    segment: str


class PosteriorReader(RedisReader):
    """Reads for the service, each call within its time or `StoreUnavailable`; creates no keys."""

    async def many(self, item_ids: Sequence[str], segment: str) -> list[PosteriorView | None]:
        """Read items in one segment in one round trip, in their order; None for unknown ones."""
        if not item_ids:
            return []
        keys = [BANDIT.of(item_id, segment) for item_id in item_ids]
        found = await self._answers(*(("HMGET", key, *READ) for key in keys))
        return [_view(*one) for one in zip(keys, found, strict=True)]

    async def latest_change(self) -> str:
        """Read the id after which changes are to come."""
        async with self._asking() as pipeline:
            pipeline.xrevrange(BANDIT_CHANGES.of(), count=1)
            (found,) = await pipeline.execute()
        with read_from(STORE):
            return found[0][0].decode() if found else "0-0"

    async def changed_after(self, change_id: str, *, limit: int) -> list[PosteriorChange]:
        """Read the changes after one, oldest first; the list holds the latest of all only."""
        async with self._asking() as pipeline:
            pipeline.xrange(BANDIT_CHANGES.of(), min=f"({change_id}", count=limit)
            (found,) = await pipeline.execute()
        with read_from(STORE):
            return [
                PosteriorChange(
                    number.decode(), fields[b"item"].decode(), fields[b"segment"].decode()
                )
                for number, fields in found
            ]


def _call(key: str, posterior: BanditPosterior) -> tuple[list[str], list[Any]]:
    return [key, BANDIT_CHANGES.of()], [
        *(BANDIT_CHANGES.max_size, posterior.item_id, posterior.context_segment),
        *(posterior.version, posterior.log_time_ms, *_fields(posterior)),
    ]


def _fields(posterior: BanditPosterior) -> Iterator[Any]:
    yield from ("updated_at", posterior.timestamp_ms)
    yield from ("context_weights", posterior.weights, "variances", posterior.variances)
    for name in NUMBERS:
        yield from (name, repr(getattr(posterior, name)))
    for name in COUNTS:
        yield from (name, getattr(posterior, name))


def _view(key: str, stored: Sequence[bytes | None]) -> PosteriorView | None:
    if stored[0] is None:
        return None
    fields = dict(zip(READ, (value or b"" for value in stored), strict=True))
    numbers: dict[str, Any] = {}
    try:
        numbers.update({name: _positive(fields[name]) for name in NUMBERS})
        numbers.update({name: int(fields[name]) for name in COUNTS})
        return PosteriorView(
            version=int(fields["version"]),
            log_time_ms=int(fields["log_time_ms"]),
            timestamp_ms=int(fields["updated_at"]),
            weights=_floats(fields["context_weights"]),
            variances=_floats(fields["variances"]),
            **numbers,
        )
    except ValueError as error:
        log.warning("%s can't be read (%s), counts as missing", key, error)
        return None


def _positive(stored: bytes) -> float:
    """What a Beta distribution may have."""
    number = float(stored)
    if not 0 < number < inf:
        raise ValueError(f"{number} is not above 0, or has no end")
    return number


def _floats(stored: bytes) -> Vector | None:
    if not stored:
        return None
    numbers = np.frombuffer(stored, "<f4")
    with np.errstate(invalid="ignore"):
        sound = numbers.size == FEATURES and np.abs(numbers).max() <= LARGEST
    if not sound:
        raise ValueError(f"{numbers.size} numbers, of which some are none, or not {FEATURES}")
    return numbers
