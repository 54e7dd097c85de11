"""Puts the list together: relevance against variety, exploration where the plan says so."""

from domain import rerank as filling
from domain.rerank import Slot, category_cap, fill_slots
from serving.catalog import Catalog
from serving.stages.admit import Admitted
from serving.stages.explore import Tried
from serving.stages.shortlist import Shortlist
from serving.trace import Trace


def rerank(
    admitted: Admitted, shortlist: Shortlist, tried: Tried, *, catalog: Catalog, trace: Trace
) -> list[Slot]:
    """The places of the list; a slot's index is that of the shortlist."""
    rows = shortlist.rows
    weight = admitted.options.diversity_weight
    slots = fill_slots(
        filling.Shortlist(
            relevance=tried.relevance,
            drawn=tried.drawn,
            closeness=shortlist.likeness.closeness(),
            categories=catalog.column("category")[rows],
        ),
        tried.plan,
        diversity_weight=weight,
        cap=category_cap(admitted.count) if weight > 0 else admitted.count,
    )
    trace.note(explored=sum(slot.explored for slot in slots))
    return slots
