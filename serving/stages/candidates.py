"""Finds items that could be in the list: several sources at once, none of them indispensable."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.beside import most_likely, together
from domain.candidates import SOURCES, Rows, merge
from domain.cold_start import mix
from domain.fusion import lift
from schemas.types import CandidateSource
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog, Mask, Wanted
from serving.metrics import Metrics
from serving.nearest import NearestMemory
from serving.ports import Neighbors, Vectors
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.trace import Trace
from serving.user_direction import UserDirection
from stores.vectors import ItemFilter

NEAREST = 200
BESIDE = 200
# Neighbours are asked for of so many of the items that the user liked last.
LATEST_LIKED = 10
TRENDING = 100
POPULAR = 50
POPULAR_SOURCE: CandidateSource = "popular"

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Candidate rows of the catalogue.

    `beside` is the chance of each to be met beside the user's latest items; `reserve` marks those
    that stand behind all others.
    """

    rows: Rows
    sources: tuple[CandidateSource, ...]
    from_sources: NDArray[np.bool_]
    beside: Floats
    reserve: Mask


class CandidateStage:
    """Asks the vector store by the user's vector and by the recent items.

    The user's vector is where the user tower points. Beside it the online store is asked for the
    neighbours of the latest items. Trending and popular items are in memory. While the
    vector store is away, the nearest items come from memory too.
    """

    def __init__(
        self,
        vectors: Vectors,
        neighbors: Neighbors,
        *,
        milvus: Breaker,
        redis: Breaker,
        direction: UserDirection,
        catalog: Catalog,
        metrics: Metrics,
        milvus_timeout_s: float,
        redis_timeout_s: float,
    ) -> None:
        self._vectors = vectors
        self._neighbors = neighbors
        self._milvus = milvus
        self._redis = redis
        self._direction = direction
        self._catalog = catalog
        self._metrics = metrics
        self._remembered = NearestMemory(metrics=metrics)
        self._milvus_timeout_s = milvus_timeout_s
        self._redis_timeout_s = redis_timeout_s

    async def run(self, admitted: Admitted, known: Known, trace: Trace) -> Found:
        """The candidates of a request."""
        if known.is_cold:
            found = cold_candidates(self._catalog, admitted.wanted, count=admitted.count)
        else:
            found = await self._warm(admitted, known, trace)
        trace.note(candidates=len(found.rows))
        return found

    async def _warm(self, admitted: Admitted, known: Known, trace: Trace) -> Found:
        nearest, chance = await asyncio.gather(
            self._nearest(admitted, known, trace), self._beside(admitted, known, trace)
        )
        allowed = self._allowed(admitted, known)
        rows_of = self._catalog.rows
        lists: dict[CandidateSource, Rows] = {
            **nearest,
            "neighbour": np.array(rows_of(most_likely(chance, most=BESIDE)), np.int64),
            "repeat": np.array(rows_of(known.taste.again), np.int64),
            "trending": np.array(self._catalog.trending[:TRENDING], np.int64),
        }
        kept = {source: rows[allowed[rows]] for source, rows in lists.items()}
        found = sum(len(rows) for rows in kept.values())
        kept["popular"] = _popular(self._catalog, allowed, _lacking(found, admitted.count))
        return _found(kept, chance, self._catalog)

    def _allowed(self, admitted: Admitted, known: Known) -> Mask:
        """What the request lets in, without what the user has sent away."""
        allowed = self._catalog.admitted(admitted.wanted)
        allowed[self._catalog.rows(known.taste.dismissed)] = False
        return allowed

    async def _nearest(
        self, admitted: Admitted, known: Known, trace: Trace
    ) -> dict[CandidateSource, Rows]:
        """What is near each vector: remembered, or else found now."""
        queries: Mapping[CandidateSource, Floats | None] = {
            "collaborative": await self._direction.of(admitted, known, trace),
            "content": known.taste.mean,
        }
        asked = {source: vector for source, vector in queries.items() if vector is not None}
        whose = (admitted.request.user_id, admitted.wanted)
        found = {
            source: rows
            for source, vector in asked.items()
            if (rows := self._remembered.find((source, *whose), vector)) is not None
        }
        lacking = {source: vector for source, vector in asked.items() if source not in found}
        if not lacking:
            return found
        try:
            searched = await self._searched(lacking, admitted)
        except DependencyUnavailableError as error:
            trace.fall_back("candidates", error.dependency)
            return {**found, **self._in_memory(lacking, admitted)}
        if not any(len(rows) for rows in searched.values()):
            return {**found, **self._instead_of_nothing(lacking, admitted, trace)}
        for source, rows in searched.items():
            self._remembered.keep((source, *whose), lacking[source], rows)
        return {**found, **searched}

    async def _searched(
        self, lacking: Mapping[CandidateSource, Floats], admitted: Admitted
    ) -> dict[CandidateSource, Rows]:
        timeout_s = admitted.deadline.of_stage("candidates", at_most_s=self._milvus_timeout_s)
        hits = await self._milvus.call(
            lambda: self._vectors.search_items_each(
                [lift(vector) for vector in lacking.values()],
                NEAREST,
                filter=filter_of(admitted.wanted),
            ),
            timeout_s=timeout_s,
        )
        return {
            source: self._known_rows(source, [item_id for item_id, _ in found])
            for source, found in zip(lacking, hits, strict=True)
        }

    def _instead_of_nothing(
        self, lacking: Mapping[CandidateSource, Floats], admitted: Admitted, trace: Trace
    ) -> dict[CandidateSource, Rows]:
        """A store that has just come back may find nothing for a moment, and say no more."""
        found = self._in_memory(lacking, admitted)
        if any(len(rows) for rows in found.values()):
            trace.fall_back_to("candidates", "memory")
        return found

    def _in_memory(
        self, lacking: Mapping[CandidateSource, Floats], admitted: Admitted
    ) -> dict[CandidateSource, Rows]:
        """The same without the vector store, exactly and slower."""
        allowed = self._catalog.admitted(admitted.wanted)
        return {
            source: self._catalog.nearest(vector, NEAREST, among=allowed)
            for source, vector in lacking.items()
        }

    def _known_rows(self, source: CandidateSource, item_ids: Sequence[str]) -> Rows:
        rows = self._catalog.rows(item_ids)
        if len(rows) < len(item_ids):
            self._metrics.unknown_items.labels(source).inc(len(item_ids) - len(rows))
        return np.array(rows, np.int64)

    async def _beside(self, admitted: Admitted, known: Known, trace: Trace) -> dict[str, float]:
        latest = known.taste.liked[:LATEST_LIKED]
        timeout_s = admitted.deadline.of_stage("candidates", at_most_s=self._redis_timeout_s)
        if not latest:
            return {}
        try:
            found = await self._redis.call(lambda: self._neighbors.of(latest), timeout_s=timeout_s)
        except DependencyUnavailableError as error:
            trace.fall_back("candidates", error.dependency)
            return {}
        return together([one.scored if one else () for one in found])


def filter_of(wanted: Wanted) -> ItemFilter:
    """What the vector store need not find; the catalogue has the last word on each item."""
    return ItemFilter(
        categories=tuple(wanted.categories),
        exclude=tuple(wanted.exclude),
        price_min=wanted.min_price,
        price_max=wanted.max_price,
    )


def cold_candidates(catalog: Catalog, wanted: Wanted, *, count: int) -> Found:
    """The mix for users of whom nothing is known, and popular items in reserve."""
    allowed = catalog.admitted(wanted)
    lists = {
        "popular": _allowed(catalog.popular.tolist(), allowed),
        "trending": _allowed(catalog.trending, allowed),
        "diverse": _allowed(catalog.best_of_categories(), allowed),
        "newest": _allowed(catalog.newest.tolist(), allowed),
    }
    chosen = mix(lists, count=count)
    reserve = [
        row for row in _popular(catalog, allowed, _lacking(0, count)).tolist() if row not in chosen
    ]
    rows = np.array([*chosen, *reserve], np.int64)
    return Found(
        rows=rows,
        sources=(*chosen.values(), *(POPULAR_SOURCE for _ in reserve)),
        from_sources=np.zeros((len(rows), len(SOURCES)), np.bool_),
        beside=np.zeros(len(rows), np.float32),
        reserve=np.arange(len(rows)) >= len(chosen),
    )


def _found(
    lists: Mapping[CandidateSource, Rows], chance: Mapping[str, float], catalog: Catalog
) -> Found:
    candidates = merge(lists)
    beside = [chance.get(item_id, 0.0) for item_id in catalog.ids_of(candidates.rows)]
    return Found(
        rows=candidates.rows,
        sources=candidates.sources(),
        from_sources=candidates.from_sources,
        beside=np.array(beside, np.float32),
        reserve=np.zeros(len(candidates.rows), np.bool_),
    )


def _lacking(found: int, count: int) -> int:
    """How many popular items to add: some always, more where the other sources gave little."""
    return max(POPULAR, 3 * count - found)


def _popular(catalog: Catalog, allowed: Mask, enough: int) -> Rows:
    """The most popular allowed rows; where even these are few, any allowed ones after them."""
    best: Rows = catalog.popular[allowed[catalog.popular]][:enough]
    if len(best) >= enough:
        return best
    others = np.setdiff1d(np.flatnonzero(allowed), best)
    filled: Rows = np.concatenate([best, others])[:enough]
    return filled


def _allowed(rows: Sequence[int], allowed: Mask) -> list[int]:
    return [row for row in rows if allowed[row]]
