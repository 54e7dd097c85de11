"""Finds items that could be in the list: several sources at once, none of them indispensable."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.candidates import SOURCES, Rows, merge
from domain.cold_start import mix
from domain.fusion import lift
from schemas.types import CandidateSource
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog, Mask, Wanted
from serving.metrics import Metrics
from serving.ports import Vectors
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.trace import Trace
from stores.vectors import ItemFilter

NEAREST = 200
TRENDING = 100
POPULAR = 50
POPULAR_SOURCE: CandidateSource = "popular"

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """Candidate rows of the catalogue. `reserve` marks those that stand behind all others."""

    rows: Rows
    sources: tuple[CandidateSource, ...]
    from_sources: NDArray[np.bool_]
    reserve: Mask


class CandidateStage:
    """Asks the vector store twice, by the user's vector and by the recent items, in parallel.

    Trending and popular items are in memory. While the vector store is away, the nearest items
    come from memory too.
    """

    def __init__(
        self,
        vectors: Vectors,
        *,
        breaker: Breaker,
        catalog: Catalog,
        metrics: Metrics,
        timeout_s: float,
    ) -> None:
        self._vectors = vectors
        self._breaker = breaker
        self._catalog = catalog
        self._metrics = metrics
        self._timeout_s = timeout_s

    async def run(self, admitted: Admitted, known: Known, trace: Trace) -> Found:
        """The candidates of a request."""
        if known.is_cold:
            found = cold_candidates(self._catalog, admitted.wanted, count=admitted.count)
        else:
            found = await self._warm(admitted, known, trace)
        trace.note(candidates=len(found.rows))
        return found

    async def _warm(self, admitted: Admitted, known: Known, trace: Trace) -> Found:
        queries: Mapping[CandidateSource, Floats | None] = {
            "collaborative": known.view.embedding,
            "content": known.taste.mean,
        }
        asked = {source: vector for source, vector in queries.items() if vector is not None}
        nearest = await asyncio.gather(
            *(self._nearest(source, vector, admitted, trace) for source, vector in asked.items())
        )
        allowed = self._catalog.admitted(admitted.wanted)
        lists: dict[CandidateSource, Rows] = {
            "trending": np.array(self._catalog.trending[:TRENDING], np.int64),
            **dict(zip(asked, nearest, strict=True)),
        }
        kept = {source: rows[allowed[rows]] for source, rows in lists.items()}
        found = sum(len(rows) for rows in kept.values())
        kept["popular"] = _popular(self._catalog, allowed, _lacking(found, admitted.count))
        return _found(kept)

    async def _nearest(
        self, source: CandidateSource, vector: Floats, admitted: Admitted, trace: Trace
    ) -> Rows:
        timeout_s = admitted.deadline.of_stage("candidates", at_most_s=self._timeout_s)
        try:
            hits = await self._breaker.call(
                lambda: self._vectors.search_items(
                    lift(vector), NEAREST, filter=filter_of(admitted.wanted)
                ),
                timeout_s=timeout_s,
            )
        except DependencyUnavailableError as error:
            trace.fall_back("candidates", error.dependency)
            allowed = self._catalog.admitted(admitted.wanted)
            return self._catalog.nearest(vector, NEAREST, among=allowed)
        rows = self._catalog.rows(item_id for item_id, _ in hits)
        if len(rows) < len(hits):
            self._metrics.unknown_items.labels(source).inc(len(hits) - len(rows))
        return np.array(rows, np.int64)


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
        reserve=np.arange(len(rows)) >= len(chosen),
    )


def _found(lists: Mapping[CandidateSource, Rows]) -> Found:
    candidates = merge(lists)
    return Found(
        rows=candidates.rows,
        sources=candidates.sources(),
        from_sources=candidates.from_sources,
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
