"""Finds what is like an item: alike in itself, met together with it, or both."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.fusion import lift
from domain.similar import blended, common_attributes, evidence_of, of_the_best, personal
from schemas.types import ItemEvent
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog, Wanted
from serving.deadline import Deadline
from serving.errors import ApiError, shown
from serving.metrics import Metrics
from serving.pipeline import require_items
from serving.ports import Neighbors, Online, Vectors
from serving.recommendation_requests import SimilarRequest
from serving.stages.candidates import filter_of
from serving.trace import Trace
from stores.views import UserView

NEAREST = 200
STAGE = "similar"

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """A request on its way, with the row of its item."""

    request: SimilarRequest
    row: int
    wanted: Wanted
    deadline: Deadline
    trace: Trace


@dataclass(frozen=True, kw_only=True, eq=False)
class Alike:
    """Rows of the catalogue with what speaks for each, from 0 to 1."""

    rows: NDArray[np.int64]
    content: Floats
    together: Floats

    @property
    def likeness(self) -> Floats:
        """Both kinds of evidence as one number."""
        return blended(self.content, self.together)


@dataclass(frozen=True, kw_only=True, eq=False)
class SimilarItems:
    """Answers from the vector store, the neighbours of the job, and the catalogue in memory.

    While the vector store is away the nearest items come from memory; without neighbours, what is
    alike in itself takes their place; and where nothing is known of an item, popular ones do.
    """

    catalog: Catalog
    vectors: Vectors
    neighbors: Neighbors
    online: Online
    milvus: Breaker
    redis: Breaker
    metrics: Metrics
    deadline_s: float
    milvus_timeout_s: float
    redis_timeout_s: float
    recent: int

    async def answer(self, request: SimilarRequest, *, request_id: str) -> dict[str, Any]:
        """The answer as document 001 shapes it; raises the 404 for an unknown item."""
        require_items(self.catalog)
        asked = self._asked(request)
        with asked.trace.stage(STAGE):
            user, content, together = await asyncio.gather(
                self._user(asked), self._content(asked), self._together(asked)
            )
            alike = self._alike(asked, content, together)
            items = self._items(asked, alike, user) or self._popular(asked)
        asked.trace.count(self.metrics)
        return {
            "request_id": request_id,
            "source_item": request.item_id,
            "similar_items": items,
            "metadata": {
                "personalized": _direction(user) is not None,
                "fallbacks": list(asked.trace.fallbacks),
                "latency_ms": round(asked.deadline.elapsed_s() * 1000, 3),
            },
        }

    def _asked(self, request: SimilarRequest) -> Asked:
        row = self.catalog.row(request.item_id)
        if row is None or self.catalog.entries[row] is None:
            raise unknown_item(request.item_id)
        wanted = Wanted(
            categories=tuple(request.filters.categories),
            exclude=frozenset([request.item_id, *request.exclude_items]),
            min_quality=request.filters.min_quality_score,
        )
        return Asked(
            request=request,
            row=row,
            wanted=wanted,
            deadline=Deadline(self.deadline_s),
            trace=Trace(),
        )

    async def _user(self, asked: Asked) -> UserView | None:
        user_id = asked.request.user_id
        if user_id is None:
            return None
        try:
            return await self.redis.call(
                lambda: self.online.user(user_id, recent=self.recent),
                timeout_s=asked.deadline.of_stage("context", at_most_s=self.redis_timeout_s),
            )
        except DependencyUnavailableError as error:
            asked.trace.fall_back("user", error.dependency)
            return None

    async def _content(self, asked: Asked) -> dict[int, float]:
        """Cosines of the nearest items by row; nothing where only what is met together counts."""
        if asked.request.similarity_type == "collaborative" or not self._has_vector(asked):
            return {}
        vector: Floats = self.catalog.column("vectors")[asked.row].copy()
        try:
            hits = await self.milvus.call(
                lambda: self.vectors.search_items(
                    lift(vector), NEAREST, filter=filter_of(asked.wanted)
                ),
                timeout_s=asked.deadline.of_stage("candidates", at_most_s=self.milvus_timeout_s),
            )
        except DependencyUnavailableError as error:
            asked.trace.fall_back(STAGE, error.dependency)
            return self._nearest(asked)
        return self._by_row(dict(hits)) if hits else self._instead_of_nothing(asked)

    def _instead_of_nothing(self, asked: Asked) -> dict[int, float]:
        """A store that has just come back may find nothing for a moment, and say no more."""
        nearest = self._nearest(asked)
        if nearest:
            asked.trace.fall_back_to(STAGE, "memory")
        return nearest

    async def _together(self, asked: Asked) -> dict[int, float]:
        """Shares of what is met beside the item by row; nothing where only content counts."""
        if asked.request.similarity_type == "content":
            return {}
        try:
            (view,) = await self.redis.call(
                lambda: self.neighbors.of([asked.request.item_id]),
                timeout_s=asked.deadline.of_stage("context", at_most_s=self.redis_timeout_s),
            )
        except DependencyUnavailableError as error:
            asked.trace.fall_back(STAGE, error.dependency)
            return {}
        return self._by_row(of_the_best(dict(view.scored))) if view else {}

    def _has_vector(self, asked: Asked) -> bool:
        return bool(self.catalog.column("has_vector")[asked.row])

    def _by_row(self, scores: Mapping[str, float]) -> dict[int, float]:
        found = ((self.catalog.row(item_id), score) for item_id, score in scores.items())
        return {row: score for row, score in found if row is not None}

    def _nearest(self, asked: Asked) -> dict[int, float]:
        """The nearest allowed items from memory, with their cosines."""
        if not self._has_vector(asked):
            return {}
        vector = self.catalog.column("vectors")[asked.row]
        allowed = self.catalog.admitted(asked.wanted)
        rows = self.catalog.nearest(vector, NEAREST, among=allowed)
        cosines = self.catalog.column("vectors")[rows] @ vector
        return dict(zip(rows.tolist(), cosines.tolist(), strict=True))

    def _alike(
        self, asked: Asked, content: Mapping[int, float], together: Mapping[int, float]
    ) -> Alike:
        """What was found and may be shown; hybrid also asks how alike the neighbours are."""
        if asked.request.similarity_type == "collaborative" and not together:
            asked.trace.fall_back_to(STAGE, "content")
            content = self._nearest(asked)
        # Asked for only now: the catalogue may have grown while the stores were waited for.
        allowed = self.catalog.admitted(asked.wanted)
        rows = [row for row in {**content, **together} if allowed[row]]
        cosines = self._cosines(asked, rows)
        if asked.request.similarity_type == "collaborative" and together:
            cosines = dict.fromkeys(rows, 0.0)
        return Alike(
            rows=np.array(rows, np.int64),
            content=_clipped([content.get(row, cosines[row]) for row in rows]),
            together=_clipped([together.get(row, 0.0) for row in rows]),
        )

    def _cosines(self, asked: Asked, rows: Sequence[int]) -> dict[int, float]:
        """How near some rows are; 0 where either vector isn't known."""
        vectors = self.catalog.column("vectors")
        cosines = vectors[list(rows)] @ vectors[asked.row] if rows else []
        return dict(zip(rows, map(float, cosines), strict=True))

    def _items(self, asked: Asked, alike: Alike, user: UserView | None) -> list[dict[str, Any]]:
        likeness = alike.likeness
        preferred = self._preferred(alike, user)
        order = [place for place in np.argsort(-preferred, kind="stable") if likeness[place] > 0]
        disliked = _disliked(user)
        items = [
            self._item(
                asked,
                int(alike.rows[place]),
                score=float(likeness[place]),
                kind=evidence_of(float(alike.content[place]), float(alike.together[place])),
            )
            for place in order
            if self.catalog.ids[alike.rows[place]] not in disliked
        ]
        return items[: asked.request.num_items]

    def _preferred(self, alike: Alike, user: UserView | None) -> Floats:
        direction = _direction(user)
        if direction is None:
            return alike.likeness
        closeness = self.catalog.column("vectors")[alike.rows] @ direction
        return personal(alike.likeness, np.clip(closeness, 0.0, 1.0))

    def _popular(self, asked: Asked) -> list[dict[str, Any]]:
        """The most popular items of the same category, or of all where that has no other."""
        allowed = self.catalog.admitted(asked.wanted)
        popular = self.catalog.popular[allowed[self.catalog.popular]]
        categories = self.catalog.column("category")
        same = popular[categories[popular] == categories[asked.row]]
        asked.trace.fall_back_to(STAGE, "popular_of_category" if len(same) else "popular")
        chosen = (same if len(same) else popular)[: asked.request.num_items]
        return [self._item(asked, row, score=0.0, kind="popular") for row in chosen.tolist()]

    def _item(self, asked: Asked, row: int, *, score: float, kind: str) -> dict[str, Any]:
        return {
            "item_id": self.catalog.ids[row],
            "similarity_score": round(score, 6),
            "similarity_type": kind,
            "common_attributes": _common(
                self.catalog.entries[asked.row], self.catalog.entries[row]
            ),
        }


def unknown_item(item_id: str) -> ApiError:
    """The 404 of an item that the catalogue doesn't have."""
    return ApiError(
        404,
        "unknown_item",
        message=f"item_id is {shown(item_id)}, which the catalogue doesn't have",
        field="item_id",
        hint="check the id; a new item is known about a second after topic items has told of it",
    )


def _direction(user: UserView | None) -> Floats | None:
    """What the user likes, where it is known and may be used."""
    return user.embedding if user is not None and user.consent else None


def _disliked(user: UserView | None) -> frozenset[str]:
    if user is None or not user.consent:
        return frozenset()
    return frozenset(
        one.item_id for one in user.recent if one.item_id and one.event_type == "dismiss"
    )


def _common(one: ItemEvent | None, other: ItemEvent | None) -> list[str]:
    """Nothing for an item that was deleted while the answer was made."""
    return list(common_attributes(one, other)) if one and other else []


def _clipped(scores: Sequence[float]) -> Floats:
    clipped: Floats = np.clip(np.array(scores, np.float32), 0.0, 1.0)
    return clipped
