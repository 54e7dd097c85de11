"""Says in a model's words why items are shown, of the few requests for which that is worth it.

It runs when the list stands, and changes nothing of it: only texts come from here.
"""

from collections.abc import Mapping

from domain.explanation import Explanation
from domain.reason_facts import ItemFacts, SituationFacts, item_facts, situation_facts
from domain.reason_rules import Circumstances, held_back_by, selected_by
from serving.catalog import Catalog
from serving.metrics import Metrics
from serving.reasoner import SHARE_SPENT, Reasoner, Reasons
from serving.stages import answer
from serving.stages.answer import Chosen
from serving.trace import Trace

# Texts are written for the first places; few look further, and each costs time.
PLACES = 10


class ReasonStage:
    """Decides whether the model is asked, and whether the answer waits for it."""

    def __init__(self, reasoner: Reasoner, *, catalog: Catalog, metrics: Metrics) -> None:
        self._reasoner = reasoner
        self._catalog = catalog
        self._metrics = metrics

    async def run(self, chosen: Chosen, trace: Trace) -> Mapping[int, str]:
        """The model's texts by rank, for a request that asked for explanations."""
        self._reasoner.earn()
        circumstances = circumstances_of(chosen, trace, timeout_s=self._reasoner.timeout_s)
        rule = self._selected(circumstances)
        trace.note(selected=rule)
        if not (circumstances.asked or (rule and self._reasoner.obstacle(asked=False) is None)):
            return {}
        items, situation = self._facts(chosen), _situation(chosen)
        if not circumstances.asked:
            self._reasoner.prepare(list(items.values()), situation)
            return {}
        wait_s = circumstances.time_left_s if rule else None
        reasons = await self._written(items, situation, wait_s)
        self._tell(reasons, trace)
        return {rank: reasons.texts[one] for rank, one in items.items() if one in reasons.texts}

    def _selected(self, circumstances: Circumstances) -> str | None:
        """The rule that selects the request, if nothing holds it back."""
        rule = selected_by(circumstances)
        if rule is None:
            return None
        self._metrics.reasoner_selected.labels(rule).inc()
        against = held_back_by(circumstances)
        if against is None:
            return rule
        self._metrics.reasoner_left_out.labels(against).inc()
        return None

    async def _written(
        self, items: Mapping[int, ItemFacts], situation: SituationFacts, wait_s: float | None
    ) -> Reasons:
        """What is remembered, and where there is a time to wait what the model writes in it."""
        if wait_s is None:
            return self._reasoner.remembered(items.values(), situation)
        return await self._reasoner.reasons(list(items.values()), situation, wait_s=wait_s)

    def _tell(self, reasons: Reasons, trace: Trace) -> None:
        trace.note(written=len(reasons.texts))
        if reasons.lacking and reasons.lacking != SHARE_SPENT:
            trace.fall_back_to("reason", f"llm_{reasons.lacking}")

    def _facts(self, chosen: Chosen) -> dict[int, ItemFacts]:
        """What may be told of the first places, by rank."""
        explained = answer.explained(chosen, self._catalog, places=PLACES)
        told = {rank: self._told(chosen, rank, one) for rank, one in explained.items()}
        return {rank: one for rank, one in told.items() if one is not None}

    def _told(self, chosen: Chosen, rank: int, explanation: Explanation) -> ItemFacts | None:
        entry = self._catalog.entries[chosen.row(chosen.slots[rank - 1])]
        if entry is None:
            return None
        return item_facts(
            entry.title or "",
            category=entry.category_id,
            price=entry.price,
            signals=explanation.signals,
        )


def circumstances_of(chosen: Chosen, trace: Trace, *, timeout_s: float) -> Circumstances:
    """What the rules ask for."""
    admitted, known, where = chosen.admitted, chosen.known, chosen.admitted.request.context
    deadline = admitted.deadline
    return Circumstances(
        asked=admitted.request.options.include_explanation,
        cold=known.is_cold,
        uncertainty=_uncertainty(chosen),
        page_type=where.page_type,
        placement=where.placement,
        shares=known.taste.category_share,
        interactions=known.activity.interactions,
        remembered=chosen.cached,
        limited=any(name.startswith("admit:") for name in trace.fallbacks),
        time_left_s=timeout_s - deadline.elapsed_s() if deadline.left_s() > 0 else 0.0,
    )


def _uncertainty(chosen: Chosen) -> float:
    """Of the shown items, on average."""
    shown = [slot.index for slot in chosen.slots]
    return float(chosen.tried.beliefs.uncertainty[shown].mean()) if shown else 0.0


def _situation(chosen: Chosen) -> SituationFacts:
    where, known = chosen.admitted.request.context, chosen.known
    return situation_facts(
        page=where.page_type,
        placement=where.placement,
        newcomer=known.is_cold,
        shares=known.taste.category_share,
    )
