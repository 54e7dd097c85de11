"""Scores the candidates: the model server's word, or the prior's while it is away."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.cold_start import light_score
from domain.ranking_features import FEATURES, RankedItems, RankedUser, feature_matrix
from domain.ranking_prior import prior_network
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog
from serving.ports import Scores
from serving.stages.admit import Admitted
from serving.stages.candidates import Found
from serving.stages.context import Known
from serving.trace import Trace

Floats = NDArray[np.float32]

LIGHT = "cold-start"
PRIOR = "prior"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """A score for each candidate, and what gave it; `features` as far as a model was asked."""

    scores: Floats
    freshness: Floats
    price_affinity: Floats
    model_version: str
    features: Floats | None = None


class RankStage:
    """Builds the features and asks the model server."""

    def __init__(
        self, ranker: Scores, *, breaker: Breaker, catalog: Catalog, timeout_s: float
    ) -> None:
        self._ranker = ranker
        self._breaker = breaker
        self._catalog = catalog
        self._timeout_s = timeout_s
        self._prior = prior_network()

    async def run(self, admitted: Admitted, known: Known, found: Found, trace: Trace) -> Ranked:
        """The scores of a request's candidates."""
        items = ranked_items(self._catalog, found, now_ms=admitted.now_ms)
        if known.is_cold or not len(found.rows):
            ranked = _light(items)
        else:
            ranked = await self._by_model(admitted, known, items, trace)
        trace.note(model=ranked.model_version)
        return ranked

    async def _by_model(
        self, admitted: Admitted, known: Known, items: RankedItems, trace: Trace
    ) -> Ranked:
        user = RankedUser(vector=known.view.embedding, taste=known.taste, activity=known.activity)
        features = feature_matrix(user, items, now_ms=admitted.at_ms)
        scores, version = await self._scores(admitted, features, trace)
        return Ranked(
            scores=scores,
            freshness=items.freshness,
            price_affinity=features[:, FEATURES.index("price_affinity")],
            model_version=version,
            features=features,
        )

    async def _scores(
        self, admitted: Admitted, features: Floats, trace: Trace
    ) -> tuple[Floats, str]:
        timeout_s = admitted.deadline.of_stage("rank", at_most_s=self._timeout_s)
        try:
            ranking = await self._breaker.call(
                lambda: self._ranker.rank(features), timeout_s=timeout_s
            )
        except DependencyUnavailableError as error:
            trace.fall_back("rank", error.dependency)
            return self._prior.score(features), PRIOR
        return ranking.scores, ranking.model_version


def ranked_items(catalog: Catalog, found: Found, *, now_ms: int) -> RankedItems:
    """The columns of the candidates."""
    rows = found.rows
    return RankedItems(
        ids=catalog.ids_of(rows),
        vectors=catalog.column("vectors")[rows],
        categories=catalog.categories_of(rows),
        prices=catalog.column("prices")[rows],
        popularity=catalog.column("popularity")[rows],
        trending=catalog.column("trend")[rows],
        quality=catalog.column("quality")[rows],
        freshness=catalog.freshness(rows, now_ms=now_ms),
        beside=found.beside,
        from_sources=found.from_sources,
    )


def _light(items: RankedItems) -> Ranked:
    greatest = max(float(items.popularity.max(initial=0.0)), 1e-9)
    return Ranked(
        scores=light_score(
            (items.popularity / greatest).astype(np.float32),
            quality=items.quality,
            freshness=items.freshness,
        ),
        freshness=items.freshness,
        price_affinity=np.zeros(len(items.ids), np.float32),
        model_version=LIGHT,
    )
