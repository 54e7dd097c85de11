"""What would speak for an item now: a list of it alone, made by the stages and shown to nobody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from domain.beside import together
from domain.candidates import SOURCES
from schemas.types import CandidateSource
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog
from serving.deadline import Deadline
from serving.explain.requests import ExplainRequest
from serving.ports import Neighbors
from serving.requests import Constraints, Context, Options, PersonalizeRequest
from serving.stages.admit import Admitted, admit
from serving.stages.answer import Chosen
from serving.stages.candidates import LATEST_LIKED, Found
from serving.stages.context import ContextStage, Known
from serving.stages.explore import ExploreStage
from serving.stages.rank import RankStage
from serving.stages.rerank import rerank
from serving.stages.shortlist import shortlist
from serving.trace import Trace


@dataclass(frozen=True, kw_only=True, eq=False)
class PresentState:
    """The stages, on one item; nothing is left to chance, and nothing is logged."""

    catalog: Catalog
    context: ContextStage
    neighbors: Neighbors
    rank: RankStage
    explore: ExploreStage
    redis: Breaker
    policy: str
    policy_weight: float
    deadline_s: float
    redis_timeout_s: float
    now_ms: Callable[[], int]

    async def chosen(self, request: ExplainRequest, row: int, *, request_id: str) -> Chosen:
        """A list of the item alone."""
        trace, admitted = Trace(), self._admitted(request, request_id)
        known = await self.context.run(admitted, trace)
        found = await self._found(known, row)
        ranked = await self.rank.run(admitted, known, found, trace)
        made = shortlist(self.catalog, known, found, ranked, count=1)
        tried = await self.explore.run(admitted, known, made, trace)
        slots = rerank(admitted, made, tried, catalog=self.catalog, trace=trace)
        return Chosen(admitted=admitted, known=known, shortlist=made, tried=tried, slots=slots)

    def _admitted(self, request: ExplainRequest, request_id: str) -> Admitted:
        return admit(
            PersonalizeRequest(
                user_id=request.user_id,
                context=Context(page_type=request.context.page_type),
                constraints=Constraints(count=1),
                options=Options(exploration_rate=0.0, diversity_weight=0.0),
            ),
            request_id=request_id,
            now_ms=self.now_ms(),
            deadline=Deadline(self.deadline_s),
        )

    async def _found(self, known: Known, row: int) -> Found:
        item_id = self.catalog.ids[row]
        chance = (await self._beside(known)).get(item_id, 0.0)
        source = self._source(known, row, chance)
        return Found(
            rows=np.array([row], np.int64),
            sources=(source,),
            from_sources=np.array([[name == source for name in SOURCES]], np.bool_),
            beside=np.array([chance], np.float32),
            reserve=np.zeros(1, np.bool_),
        )

    def _source(self, known: Known, row: int, chance: float) -> CandidateSource:
        if self.catalog.ids[row] in known.taste.again:
            return "repeat"
        if chance > 0:
            return "neighbour"
        return "popular" if known.is_cold else "content"

    async def _beside(self, known: Known) -> Mapping[str, float]:
        latest = known.taste.liked[:LATEST_LIKED]
        if not latest:
            return {}
        try:
            found = await self.redis.call(
                lambda: self.neighbors.of(latest), timeout_s=self.redis_timeout_s
            )
        except DependencyUnavailableError:
            return {}
        return together([one.scored if one else () for one in found])
