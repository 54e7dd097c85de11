"""Says it: the answer for the client, and the impression for the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.explanation import Evidence, Explanation, explain
from domain.rerank import Slot
from domain.taste import Met
from schemas.types import CandidateSource, Exposure, Impression, ItemEvent, ShownItem
from serving.catalog import Catalog
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.stages.explore import Tried
from serving.stages.shortlist import Shortlist
from serving.trace import Trace

TIER = "origin"
# A language model wrote at least one of the reasons.
LLM_TIER = "llm"

# A place further down is no reason to show something.
WORTH_SAYING = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """All that the stages before have found; `cached` says that the ranking was remembered.

    `reasons` are what a language model wrote, by rank.
    """

    admitted: Admitted
    known: Known
    shortlist: Shortlist
    tried: Tried
    slots: Sequence[Slot]
    cached: bool = False
    reasons: Mapping[int, str] = field(default_factory=dict)

    def row(self, slot: Slot) -> int:
        """The catalogue row of a place."""
        return int(self.shortlist.rows[slot.index])

    def source(self, slot: Slot) -> CandidateSource:
        """What put the item there."""
        return "exploration" if slot.explored else self.shortlist.sources[slot.index]

    def score(self, slot: Slot) -> float:
        """The ranker's."""
        return float(self.shortlist.scores[slot.index])

    def sampled(self, slot: Slot) -> float | None:
        """What the policy drew for the item, where it drew."""
        sampled = self.tried.sampled
        return None if sampled is None else float(sampled[slot.belief, slot.index])

    @property
    def tier(self) -> str:
        """How far the request went."""
        return LLM_TIER if self.reasons else TIER

    @property
    def explored(self) -> bool:
        """Whether any place was given to exploration."""
        return any(slot.explored for slot in self.slots)


def body(chosen: Chosen, catalog: Catalog, trace: Trace) -> dict[str, Any]:
    """The answer as doc 000 shapes it."""
    admitted = chosen.admitted
    explanations = _explanations(chosen, catalog)
    return {
        "request_id": admitted.request_id,
        "user_id": admitted.request.user_id,
        "items": [
            _item(chosen, slot, rank=rank, catalog=catalog, explanation=explanations.get(rank))
            for rank, slot in enumerate(chosen.slots, start=1)
        ],
        "metadata": _metadata(chosen, catalog, trace),
    }


def _item(
    chosen: Chosen, slot: Slot, *, rank: int, catalog: Catalog, explanation: Explanation | None
) -> dict[str, Any]:
    row = chosen.row(slot)
    return {
        "item_id": catalog.ids[row],
        "rank": rank,
        "score": round(chosen.score(slot), 6),
        "source": chosen.source(slot),
        "explanation": _said(explanation, chosen.reasons.get(rank)),
        "metadata": _described(catalog.entries[row]),
    }


def _said(explanation: Explanation | None, written: str | None) -> dict[str, Any] | None:
    if explanation is None:
        return None
    return {
        "primary_reason": written or explanation.primary_reason,
        "signals": list(explanation.signals),
        "llm_generated": written is not None,
    }


def _described(entry: ItemEvent | None) -> dict[str, Any]:
    if entry is None:
        # Deleted since it was chosen; the next answer won't have it.
        return {"title": "", "category": None, "price": None, "image_url": None}
    return {
        "title": entry.title,
        "category": entry.category_id,
        "price": entry.price,
        "image_url": entry.image_url,
    }


def _metadata(chosen: Chosen, catalog: Catalog, trace: Trace) -> dict[str, Any]:
    view, model = chosen.known.view, chosen.shortlist.model_version
    return {
        "latency_ms": round(chosen.admitted.deadline.elapsed_s() * 1000, 3),
        "tier": chosen.tier,
        "cache_hit": chosen.cached,
        "cold_start": chosen.known.is_cold,
        "exploration_applied": chosen.explored,
        "model_version": model,
        "fallbacks": list(trace.fallbacks),
        "experiments": {one.experiment_id: one.arm.name for one in chosen.admitted.assignments},
        "versions": {
            "user": view.version,
            "embedding": view.embedding_version,
            "model": model,
            "catalogue": catalog.version,
        },
        "stages_ms": trace.stages_ms(),
    }


def _explanations(chosen: Chosen, catalog: Catalog) -> dict[int, Explanation]:
    if not chosen.admitted.request.options.include_explanation:
        return {}
    return explained(chosen, catalog, places=len(chosen.slots))


def explained(chosen: Chosen, catalog: Catalog, *, places: int) -> dict[int, Explanation]:
    """Why the items of the first places are shown, by rank."""
    slots = chosen.slots[:places]
    nearest = nearest_met(chosen, catalog, places=places)
    trending = {row: place for place, row in enumerate(catalog.trending[:WORTH_SAYING], start=1)}
    popular = {
        row: place for place, row in enumerate(catalog.popular[:WORTH_SAYING].tolist(), start=1)
    }
    return {
        rank: explain(_evidence(chosen, slot, catalog, nearest[rank - 1], trending, popular))
        for rank, slot in enumerate(slots, start=1)
    }


def _evidence(
    chosen: Chosen,
    slot: Slot,
    catalog: Catalog,
    nearest: tuple[Met, float] | None,
    trending: dict[int, int],
    popular: dict[int, int],
) -> Evidence:
    row = chosen.row(slot)
    category = catalog.category_of(row)
    met, similarity = nearest or (None, 0.0)
    return Evidence(
        source=chosen.source(slot),
        found_by=chosen.shortlist.sources[slot.index],
        similar_title=_title(catalog, met.item_id) if met else None,
        similar_action=met.action if met else "view",
        similarity=similarity,
        category=category,
        category_share=chosen.known.taste.category_share.get(category, 0.0) if category else 0.0,
        price_affinity=float(chosen.shortlist.price_affinity[slot.index]),
        trending_place=trending.get(row),
        popular_place=popular.get(row),
    )


def nearest_met(
    chosen: Chosen, catalog: Catalog, *, places: int | None = None
) -> list[tuple[Met, float] | None]:
    """For each of the first places, the recent item that is most like it, without the item itself.

    Without a number it is all places.
    """
    slots = chosen.slots[:places]
    met = [one for one in chosen.known.met if one.vector is not None and _liked(one)]
    vectors = [one.vector for one in met if one.vector is not None]
    if not met:
        return [None] * len(slots)
    rows = [chosen.row(slot) for slot in slots]
    closeness = catalog.column("vectors")[rows] @ np.stack(vectors).T
    for place, row in enumerate(rows):
        for column, one in enumerate(met):
            if one.item_id == catalog.ids[row]:
                closeness[place, column] = -1.0
    best = closeness.argmax(axis=1)
    return [(met[column], float(closeness[place, column])) for place, column in enumerate(best)]


def _liked(met: Met) -> bool:
    return met.action not in {"dismiss", "skip"}


def _title(catalog: Catalog, item_id: str) -> str | None:
    row = catalog.row(item_id)
    entry = catalog.entries[row] if row is not None else None
    return entry.title if entry and entry.title else None


def impression(chosen: Chosen, catalog: Catalog, trace: Trace) -> Impression:
    """The answer as the log keeps it, with the exact chance of each place."""
    admitted = chosen.admitted
    request, where = admitted.request, admitted.request.context
    return Impression(
        request_id=admitted.request_id,
        user_id=request.user_id,
        session_id=request.session_id,
        timestamp_ms=admitted.now_ms,
        page_type=where.page_type,
        placement=where.placement,
        device=where.device,
        country=where.geo.country,
        region=where.geo.region,
        city=where.geo.city,
        context_segment=chosen.tried.segment,
        context_features=chosen.tried.features,
        items=tuple(
            _shown(chosen, slot, rank=rank, catalog=catalog)
            for rank, slot in enumerate(chosen.slots, start=1)
        ),
        tier=chosen.tier,
        cache_hit=chosen.cached,
        exploration_applied=chosen.explored,
        exploration_rate=admitted.options.exploration_rate,
        model_version=chosen.shortlist.model_version,
        user_version=chosen.known.view.version,
        fallbacks=tuple(trace.fallbacks),
        experiments=tuple(
            Exposure(experiment_id=one.experiment_id, arm=one.arm.name, forced=one.forced)
            for one in admitted.assignments
        ),
        latency_ms=admitted.deadline.elapsed_s() * 1000,
    )


def _shown(chosen: Chosen, slot: Slot, *, rank: int, catalog: Catalog) -> ShownItem:
    return ShownItem(
        item_id=catalog.ids[chosen.row(slot)],
        rank=rank,
        score=chosen.score(slot),
        source=chosen.source(slot),
        propensity=slot.propensity,
        sampled_value=chosen.sampled(slot),
        uncertainty=float(chosen.tried.beliefs.uncertainty[slot.index]),
    )
