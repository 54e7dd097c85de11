"""The candidates of which any could still come into the list: what the later stages choose from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from domain.candidates import Rows
from domain.rerank import Closeness, relevance_of
from schemas.types import CandidateSource
from serving.catalog import Catalog, Mask
from serving.stages.candidates import Found
from serving.stages.context import Known
from serving.stages.rank import Ranked

Floats = NDArray[np.float32]
T = TypeVar("T")

# Beyond this many of the best, nothing could reach a place by variety or by luck.
AT_LEAST = 100
PER_PLACE = 3
# A week, as freshness counts it.
NEW = float(np.exp(-1.0))


@dataclass(kw_only=True, eq=False)
class Evidence:
    """What the ranker saw of a shortlist, until it is written down; then under which name."""

    features: Floats | None = None
    kept_as: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shortlist:
    """The best candidates in falling order of what the ranking says, a place an item.

    `traits` are what the rules of moods ask for, as far as they follow from the items and the
    user; what is in `reserve` comes after all others.
    """

    rows: Rows
    ids: tuple[str, ...]
    sources: tuple[CandidateSource, ...]
    scores: Floats
    freshness: Floats
    price_affinity: Floats
    novel: Mask
    reserve: Mask
    traits: Mapping[str, Mask]
    model_version: str
    likeness: "Likeness"
    evidence: Evidence = field(default_factory=Evidence)

    def relevance(self, engagement: NDArray[np.float64]) -> Floats:
        """What items that promise so much are worth, a row each for rows of promises."""
        promise = engagement.astype(np.float32)
        return relevance_of(promise, freshness=self.freshness, novel=self.novel) - self.reserve


class Likeness:
    """How like each other the items of a shortlist are, measured when it is first asked for.

    A remembered shortlist is asked for the same few items again and again. The vectors are not
    kept: those of all shortlists would be many times the catalogue.
    """

    def __init__(self, catalog: Catalog, rows: Rows) -> None:
        self._catalog = catalog
        self._rows = rows
        self._measured: dict[int, Floats] = {}

    def closeness(self) -> Closeness:
        """What tells it during one request, in which vectors are gathered once at most."""
        measured, gathered = self._measured, cache(self._gathered)

        def of(index: int) -> Floats:
            found = measured.get(index)
            if found is None:
                vectors = gathered()
                found = measured[index] = vectors @ vectors[index]
            return found

        return of

    def _gathered(self) -> Floats:
        vectors: Floats = self._catalog.column("vectors")[self._rows]
        return vectors


def shortlist(
    catalog: Catalog, known: Known, found: Found, ranked: Ranked, *, count: int
) -> Shortlist:
    """The best candidates for a list of so many places."""
    ids, seen = catalog.ids_of(found.rows), known.taste.seen
    novel = np.array([one not in seen for one in ids], np.bool_)
    plain = relevance_of(ranked.scores, freshness=ranked.freshness, novel=novel) - found.reserve
    enough = max(AT_LEAST, PER_PLACE * count)
    order = np.argsort(-plain, kind="stable")[:enough]
    rows, freshness = found.rows[order], ranked.freshness[order]
    return Shortlist(
        rows=rows,
        ids=_at(ids, order),
        sources=_at(found.sources, order),
        scores=ranked.scores[order],
        freshness=freshness,
        price_affinity=ranked.price_affinity[order],
        novel=novel[order],
        reserve=found.reserve[order],
        traits=_traits(catalog, known, rows, freshness),
        model_version=ranked.model_version,
        likeness=Likeness(catalog, rows),
        evidence=Evidence(features=None if ranked.features is None else ranked.features[order]),
    )


def _at(values: Sequence[T], order: Rows) -> tuple[T, ...]:
    return tuple(values[place] for place in order.tolist())


def _traits(catalog: Catalog, known: Known, rows: Rows, freshness: Floats) -> dict[str, Mask]:
    labelled = catalog.traits(rows)
    trending = catalog.column("trend")[rows] > 0
    usual, liked = known.taste.category_share, frozenset(known.taste.liked)
    return {
        **labelled,
        "aspirational": labelled["aspirational"] | trending | (freshness > NEW),
        "engaged_before": np.array([one in liked for one in catalog.ids_of(rows)], np.bool_),
        "new_category": np.array(
            [one not in usual for one in catalog.categories_of(rows)], np.bool_
        ),
    }
