"""The way of a request through its stages."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from domain.experiments import Experiments
from schemas.types import Impression
from serving.catalog import Catalog
from serving.deadline import Deadline
from serving.errors import unavailable
from serving.evidence.log import EvidenceLog
from serving.load import Load
from serving.metrics import Metrics
from serving.rankings import Rankings
from serving.requests import PersonalizeRequest
from serving.stages import answer
from serving.stages.admit import Admitted, admit, plainly
from serving.stages.candidates import CandidateStage
from serving.stages.context import ContextStage, Known
from serving.stages.explore import ExploreStage
from serving.stages.rank import RankStage
from serving.stages.reason import ReasonStage
from serving.stages.rerank import rerank
from serving.stages.shortlist import Shortlist, shortlist
from serving.trace import Trace

Body = Callable[[answer.Chosen, Catalog, Trace], dict[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pipeline:
    """The stages of a service, in the order in which they run."""

    catalog: Catalog
    rankings: Rankings
    context: ContextStage
    candidates: CandidateStage
    rank: RankStage
    explore: ExploreStage
    metrics: Metrics
    load: Load
    deadline_s: float
    now_ms: Callable[[], int]
    experiments: Callable[[], Experiments] = Experiments
    reason: ReasonStage | None = None
    evidence: EvidenceLog | None = None

    async def personalize(
        self,
        request: PersonalizeRequest,
        *,
        request_id: str,
        body: Body = answer.body,
        degrade: bool = False,
        deadline: Deadline | None = None,
    ) -> tuple[dict[str, Any], Impression]:
        """The answer to a request, in the shape that `body` gives it, and its impression.

        A degraded one, or one too many, asks nobody: without any time, each stage does with what is
        in the process. Neither does it explore nor vary, which takes most of the work that is left.
        Lists that are asked for together may share a `deadline`.
        """
        with self.load.a_list() as too_many:
            trace = Trace()
            if degrade or too_many:
                trace.fall_back_to("admit", "rate_limited" if degrade else "overloaded")
            admitted = self._admit(request, request_id, trace, deadline)
            chosen = await self._choose(admitted, trace)
            with trace.stage("answer"):
                impression = answer.impression(chosen, self.catalog, trace)
                made = body(chosen, self.catalog, trace)
            self._count(trace, chosen)
            if self.evidence:
                self.evidence.put(chosen, trace, made, body)
            return made, impression

    def _admit(
        self,
        request: PersonalizeRequest,
        request_id: str,
        trace: Trace,
        shared: Deadline | None,
    ) -> Admitted:
        deadline = shared or Deadline(self.deadline_s)
        with trace.stage("admit"):
            require_items(self.catalog)
            now_ms = self.now_ms()
            admitted = admit(
                request,
                request_id=request_id,
                now_ms=now_ms,
                deadline=deadline,
                assignments=self.experiments().assigned(request.user_id, at_ms=now_ms),
            )
            return plainly(admitted) if trace.fallbacks else admitted

    async def _choose(self, admitted: Admitted, trace: Trace) -> answer.Chosen:
        with trace.stage("context"):
            known = await self.context.run(admitted, trace)
        made = self.rankings.find(admitted, known)
        if made is None:
            admitted, shortlisted = await self._ranked_anew(admitted, known, trace)
        else:
            shortlisted = made
        with trace.stage("explore"):
            tried = await self.explore.run(admitted, known, shortlisted, trace)
        with trace.stage("rerank"):
            slots = rerank(admitted, shortlisted, tried, catalog=self.catalog, trace=trace)
        chosen = answer.Chosen(
            admitted=admitted,
            known=known,
            shortlist=shortlisted,
            tried=tried,
            slots=slots,
            cached=made is not None,
        )
        return await self._reasoned(self.reason, chosen, trace) if self.reason else chosen

    async def _reasoned(
        self, stage: ReasonStage, chosen: answer.Chosen, trace: Trace
    ) -> answer.Chosen:
        with trace.stage("reason"):
            return replace(chosen, reasons=await stage.run(chosen, trace))

    async def _ranked_anew(
        self, admitted: Admitted, known: Known, trace: Trace
    ) -> tuple[Admitted, Shortlist]:
        with self.load.a_ranking() as too_many:
            if too_many:
                trace.fall_back_to("admit", "overloaded")
                admitted = plainly(admitted)
            return admitted, await self._shortlist(admitted, known, trace)

    async def _shortlist(self, admitted: Admitted, known: Known, trace: Trace) -> Shortlist:
        with trace.stage("candidates"):
            found = await self.candidates.run(admitted, known, trace)
        with trace.stage("rank"):
            ranked = await self.rank.run(admitted, known, found, trace)
            made = shortlist(self.catalog, known, found, ranked, count=admitted.count)
        if not trace.fallbacks:
            self.rankings.keep(admitted, known, made)
        return made

    def _count(self, trace: Trace, chosen: answer.Chosen) -> None:
        trace.count(self.metrics)
        if chosen.known.is_cold:
            self.metrics.cold_starts.inc()
        if chosen.admitted.deadline.elapsed_s() > self.deadline_s:
            self.metrics.late_answers.inc()


def require_items(catalog: Catalog) -> None:
    """Raise the 503 while there is nothing that an answer could be made of."""
    if not len(catalog):
        raise unavailable(
            "the service knows no items yet, so it can't answer anything",
            hint="wait until the catalogue is loaded; /readyz says when, and what is missing",
            retry_after_s=2,
        )
