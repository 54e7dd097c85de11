"""The way of a request through its stages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.types import Impression
from serving.catalog import Catalog
from serving.deadline import Deadline
from serving.errors import unavailable
from serving.metrics import Metrics
from serving.requests import PersonalizeRequest
from serving.stages import answer
from serving.stages.admit import Admitted, admit
from serving.stages.candidates import CandidateStage
from serving.stages.context import ContextStage
from serving.stages.explore import explore
from serving.stages.rank import RankStage
from serving.stages.rerank import rerank
from serving.trace import Trace


@dataclass(frozen=True, kw_only=True, eq=False)
class Pipeline:
    """The stages of a service, in the order in which they run."""

    catalog: Catalog
    context: ContextStage
    candidates: CandidateStage
    rank: RankStage
    metrics: Metrics
    deadline_s: float
    now_ms: Callable[[], int]

    async def personalize(
        self, request: PersonalizeRequest, *, request_id: str, degrade: bool = False
    ) -> tuple[dict[str, Any], Impression]:
        """The answer to a request, and its impression.

        A degraded one asks nobody: without any time, each stage does with what is in the process.
        """
        trace = Trace()
        deadline = Deadline(0.0 if degrade else self.deadline_s)
        with trace.stage("admit"):
            self._check_catalog()
            admitted = admit(
                request, request_id=request_id, now_ms=self.now_ms(), deadline=deadline
            )
        if degrade:
            trace.fallbacks.append("admit:rate_limited")
        chosen = await self._choose(admitted, trace)
        with trace.stage("answer"):
            impression = answer.impression(chosen, self.catalog, trace)
            body = answer.body(chosen, self.catalog, trace)
        self._count(trace, chosen)
        return body, impression

    async def _choose(self, admitted: Admitted, trace: Trace) -> answer.Chosen:
        with trace.stage("context"):
            known = await self.context.run(admitted, trace)
        with trace.stage("candidates"):
            found = await self.candidates.run(admitted, known, trace)
        with trace.stage("rank"):
            ranked = await self.rank.run(admitted, known, found, trace)
        with trace.stage("explore"):
            plan = explore(admitted, trace)
        with trace.stage("rerank"):
            slots = rerank(admitted, known, found, ranked, plan, catalog=self.catalog, trace=trace)
        return answer.Chosen(
            admitted=admitted, known=known, found=found, ranked=ranked, slots=slots
        )

    def _check_catalog(self) -> None:
        if not len(self.catalog):
            raise unavailable(
                "the service knows no items yet, so it can't answer anything",
                hint="wait until the catalogue is loaded; /readyz says when, and what is missing",
                retry_after_s=2,
            )

    def _count(self, trace: Trace, chosen: answer.Chosen) -> None:
        for step in trace.steps:
            self.metrics.stage_seconds.labels(step.stage).observe(step.ms / 1000)
        for fallback in trace.fallbacks:
            self.metrics.fallbacks.labels(fallback).inc()
        if chosen.known.is_cold:
            self.metrics.cold_starts.inc()
        if chosen.admitted.deadline.elapsed_s() > self.deadline_s:
            self.metrics.late_answers.inc()
