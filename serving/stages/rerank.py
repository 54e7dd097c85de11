"""Puts the list together: relevance against variety, exploration where the plan says so."""

import numpy as np
from numpy.typing import NDArray

from domain.candidates import Rows
from domain.explore import ExplorationPlan
from domain.rerank import Shortlist, Slot, category_cap, fill_slots, relevance_of
from serving.catalog import Catalog
from serving.stages.admit import Admitted
from serving.stages.candidates import Found
from serving.stages.context import Known
from serving.stages.rank import Ranked
from serving.trace import Trace

Floats = NDArray[np.float32]

# Beyond this many of the best, nothing could reach a place by variety alone.
SHORTLIST_AT_LEAST = 150
SHORTLIST_PER_PLACE = 3


def rerank(
    admitted: Admitted,
    known: Known,
    found: Found,
    ranked: Ranked,
    plan: ExplorationPlan,
    *,
    catalog: Catalog,
    trace: Trace,
) -> list[Slot]:
    """The places of the list; a slot's index is that of a candidate."""
    order, relevance = _in_order(admitted, known, found, ranked, catalog)
    rows = found.rows[order]
    shortlist = Shortlist(
        relevance=relevance[order],
        vectors=catalog.column("vectors")[rows],
        categories=catalog.column("category")[rows],
    )
    weight = admitted.request.options.diversity_weight
    slots = fill_slots(
        shortlist,
        plan,
        diversity_weight=weight,
        cap=category_cap(admitted.count) if weight > 0 else admitted.count,
    )
    trace.note(explored=sum(slot.explored for slot in slots))
    return [_of_candidate(slot, order) for slot in slots]


def _in_order(
    admitted: Admitted, known: Known, found: Found, ranked: Ranked, catalog: Catalog
) -> tuple[Rows, Floats]:
    """The best candidates by falling relevance; what is in reserve comes after all others."""
    seen = known.taste.seen
    relevance = relevance_of(
        ranked.scores,
        freshness=ranked.freshness,
        novel=np.array([one not in seen for one in catalog.ids_of(found.rows)], np.bool_),
    )
    relevance = relevance - found.reserve
    enough = max(SHORTLIST_AT_LEAST, SHORTLIST_PER_PLACE * admitted.count)
    return np.argsort(-relevance, kind="stable")[:enough], relevance


def _of_candidate(slot: Slot, order: Rows) -> Slot:
    return Slot(index=int(order[slot.index]), propensity=slot.propensity, explored=slot.explored)
