"""Weighs what is known against what could be learned: what rewards taught, how the user feels."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from domain.candidates import Rows
from domain.explore import ExplorationPlan, plan_exploration
from domain.mood_rules import Rule, factors, rules_in
from domain.policies import EXPLORATION_WEIGHT, ContextualThompson, Policy, explores, mixed
from domain.rerank import relevance_of
from domain.segments import Situation, context_features, segment_of
from serving.beliefs import BeliefCache, Beliefs
from serving.catalog import Catalog
from serving.situation import mood_of, situation_of
from serving.stages.admit import Admitted
from serving.stages.candidates import Found
from serving.stages.context import Known
from serving.stages.rank import Ranked
from serving.trace import Trace

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Beyond this many of the best, nothing could reach a place by variety or by luck.
SHORTLIST_AT_LEAST = 100
SHORTLIST_PER_PLACE = 3
# What items may be worth is drawn so many times; each place goes by one of the draws.
DRAWS = 16
# The document's confidence of 0.8.
SURE = 0.2
# A week, as freshness counts it.
NEW = float(np.exp(-1.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Shortlisted:
    """The best candidates in falling order of what the ranking says, a place an item.

    `order` holds their places among the candidates, `scores` the ranker's, `bonus` what else they
    are worth: that they are fresh, or new to the user.
    """

    order: Rows
    rows: Rows
    ids: list[str]
    scores: Floats
    freshness: Floats
    novel: Mask
    reserve: Mask

    def relevance(self, engagement: Doubles) -> Floats:
        """What items of this promise are worth; what is in reserve comes after all others."""
        promise = engagement.astype(np.float32)
        return relevance_of(promise, freshness=self.freshness, novel=self.novel) - self.reserve


@dataclass(frozen=True, kw_only=True, eq=False)
class Tried:
    """The shortlist, and what rewards, moods and chance make of it.

    `relevance` is expected; `drawn` has a row for each draw and `sampled` the policy's part of it.
    Where nothing is left to chance both are None.
    """

    plan: ExplorationPlan
    situation: Situation
    shortlist: Shortlisted
    beliefs: Beliefs
    rules: tuple[Rule, ...]
    relevance: Floats
    drawn: Floats | None = None
    sampled: Doubles | None = None


class ExploreStage:
    """Mixes the ranking with posteriors, by the document's weight, and by the rules of moods."""

    def __init__(
        self,
        beliefs: BeliefCache,
        *,
        catalog: Catalog,
        timeout_s: float,
        policy: Policy | None = None,
        weight: float = EXPLORATION_WEIGHT,
    ) -> None:
        self._beliefs = beliefs
        self._catalog = catalog
        self._timeout_s = timeout_s
        self._policy = policy or ContextualThompson()
        self._weight = weight

    async def run(
        self, admitted: Admitted, known: Known, found: Found, ranked: Ranked, trace: Trace
    ) -> Tried:
        """What the places of a request may be given to."""
        situation = situation_of(admitted, known)
        shortlist = shortlisted(self._catalog, known, found, ranked, count=admitted.count)
        beliefs = await self._believed(admitted, shortlist, situation, trace)
        rules = rules_in(mood_of(known.view, admitted.at_ms) if known.view.consent else None)
        trace.note(
            rate=admitted.request.options.exploration_rate,
            segment=segment_of(situation),
            learned=sum(version > 0 for version in beliefs.versions),
            rules=[rule.name for rule in rules],
        )
        traits = traits_of(self._catalog, known, shortlist, beliefs)
        sampled = self._sampled(admitted, beliefs)
        return Tried(
            plan=_plan(admitted),
            situation=situation,
            shortlist=shortlist,
            beliefs=beliefs,
            rules=rules,
            relevance=self._worth(shortlist, self._policy.expected(beliefs.arms), rules, traits),
            drawn=None if sampled is None else self._worth(shortlist, sampled, rules, traits),
            sampled=sampled,
        )

    async def _believed(
        self, admitted: Admitted, shortlist: Shortlisted, situation: Situation, trace: Trace
    ) -> Beliefs:
        beliefs = await self._beliefs.of(
            shortlist.ids,
            segment_of(situation),
            features=context_features(situation),
            timeout_s=admitted.deadline.of_stage("explore", at_most_s=self._timeout_s),
        )
        if beliefs.lacking:
            trace.fall_back("explore", beliefs.lacking)
        return beliefs

    def _sampled(self, admitted: Admitted, beliefs: Beliefs) -> Doubles | None:
        """The policy's draws; none where the request leaves nothing to chance."""
        if admitted.request.options.exploration_rate == 0 or not beliefs.versions:
            return None
        chance = np.random.default_rng(_seed(admitted.request_id))
        drawn = [self._policy.scores(beliefs.arms, rng=chance) for _ in range(DRAWS)]
        return np.stack(drawn)

    def _worth(
        self,
        shortlist: Shortlisted,
        promise: Doubles,
        rules: tuple[Rule, ...],
        traits: Mapping[str, Mask],
    ) -> Floats:
        """What items are worth if a policy promises so much of them."""
        scores = shortlist.scores.astype(np.float64)
        tried = {"tried": explores(scores, promise)}
        engagement = mixed(scores, promise, exploration_weight=self._weight)
        moved = factors(rules, {**traits, **tried}, count=len(shortlist.ids))
        return shortlist.relevance(engagement * moved)


def shortlisted(
    catalog: Catalog, known: Known, found: Found, ranked: Ranked, *, count: int
) -> Shortlisted:
    """The candidates of which any could still come into a list of so many places."""
    seen = known.taste.seen
    novel = np.array([one not in seen for one in catalog.ids_of(found.rows)], np.bool_)
    plain = relevance_of(ranked.scores, freshness=ranked.freshness, novel=novel) - found.reserve
    enough = max(SHORTLIST_AT_LEAST, SHORTLIST_PER_PLACE * count)
    order = np.argsort(-plain, kind="stable")[:enough]
    return Shortlisted(
        order=order,
        rows=found.rows[order],
        ids=catalog.ids_of(found.rows[order]),
        scores=ranked.scores[order],
        freshness=ranked.freshness[order],
        novel=novel[order],
        reserve=found.reserve[order],
    )


def traits_of(
    catalog: Catalog, known: Known, shortlist: Shortlisted, beliefs: Beliefs
) -> dict[str, Mask]:
    """What the rules of moods ask of items: what their labels say, and what is known of them."""
    traits = catalog.traits(shortlist.rows)
    trending = catalog.column("trend")[shortlist.rows] > 0
    usual = known.taste.category_share
    liked = frozenset(known.taste.liked)
    return {
        **traits,
        "aspirational": traits["aspirational"] | trending | (shortlist.freshness > NEW),
        "engaged_before": np.array([one in liked for one in shortlist.ids], np.bool_),
        "sure": beliefs.uncertainty < SURE,
        "new_category": np.array(
            [one not in usual for one in catalog.categories_of(shortlist.rows)], np.bool_
        ),
    }


def _plan(admitted: Admitted) -> ExplorationPlan:
    """The chance of a request comes from its id alone."""
    rate = admitted.request.options.exploration_rate
    return plan_exploration(rate=rate, slots=admitted.count, seed=admitted.request_id)


def _seed(request_id: str) -> int:
    return int.from_bytes(shake_256(f"beliefs:{request_id}".encode()).digest(16), "little")
