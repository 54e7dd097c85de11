"""Weighs what is known against what could be learned: what rewards taught, how the user feels."""

from dataclasses import dataclass
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

from domain.experiments import posterior_segment
from domain.explore import ExplorationPlan, plan_exploration
from domain.mood_rules import Rule, factors, rules_in
from domain.policies import DEFAULT_POLICY, EXPLORATION_WEIGHT, POLICIES, Policy, explores, mixed
from domain.segments import context_features, segment_of
from serving.beliefs import BeliefCache, Beliefs
from serving.situation import mood_of, situation_of
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.stages.shortlist import Shortlist
from serving.trace import Trace

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# What items may be worth is drawn so many times; each place goes by one of the draws.
DRAWS = 16
# The document's confidence of 0.8.
SURE = 0.2


@dataclass(frozen=True, kw_only=True, eq=False)
class Tried:
    """What rewards, moods and chance make of the shortlist.

    `relevance` is expected; `drawn` has a row for each draw and `sampled` the policy's part of it.
    Where nothing is left to chance both are None.
    """

    plan: ExplorationPlan
    segment: str
    features: tuple[float, ...]
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
        timeout_s: float,
        policy: str = DEFAULT_POLICY,
        weight: float = EXPLORATION_WEIGHT,
    ) -> None:
        self._beliefs = beliefs
        self._timeout_s = timeout_s
        self._policy = policy
        self._weight = weight

    async def run(
        self, admitted: Admitted, known: Known, shortlist: Shortlist, trace: Trace
    ) -> Tried:
        """What the places of a request may be given to."""
        situation = situation_of(admitted, known)
        segment = posterior_segment(segment_of(situation), admitted.assignments)
        features = context_features(situation)
        beliefs = await self._believed(admitted, shortlist, segment, features, trace)
        rules = rules_in(mood_of(known.view, admitted.at_ms) if known.view.consent else None)
        policy = POLICIES[admitted.policy or self._policy]
        sampled = _sampled(admitted, beliefs, policy)
        expected = policy.expected(beliefs.arms)
        tried = Tried(
            plan=_plan(admitted),
            segment=segment,
            features=features,
            beliefs=beliefs,
            rules=rules,
            relevance=self._worth(shortlist, expected, beliefs, rules),
            drawn=None if sampled is None else self._worth(shortlist, sampled, beliefs, rules),
            sampled=sampled,
        )
        _tell(tried, trace)
        return tried

    async def _believed(
        self,
        admitted: Admitted,
        shortlist: Shortlist,
        segment: str,
        features: tuple[float, ...],
        trace: Trace,
    ) -> Beliefs:
        beliefs = await self._beliefs.of(
            shortlist.ids,
            segment,
            features=features,
            timeout_s=admitted.deadline.of_stage("explore", at_most_s=self._timeout_s),
        )
        if beliefs.lacking:
            trace.fall_back("explore", beliefs.lacking)
        return beliefs

    def _worth(
        self, shortlist: Shortlist, promise: Doubles, beliefs: Beliefs, rules: tuple[Rule, ...]
    ) -> Floats:
        """What items are worth if a policy promises so much of them."""
        scores = shortlist.scores.astype(np.float64)
        engagement = mixed(scores, promise, exploration_weight=self._weight)
        if rules:
            of_rewards = {"sure": beliefs.uncertainty < SURE, "tried": explores(scores, promise)}
            traits = {**shortlist.traits, **of_rewards}
            engagement = engagement * factors(rules, traits, count=len(scores))
        return shortlist.relevance(engagement)


def _sampled(admitted: Admitted, beliefs: Beliefs, policy: Policy) -> Doubles | None:
    """The policy's draws; none where the request leaves nothing to chance."""
    if admitted.options.exploration_rate == 0:
        return None
    chance = np.random.Generator(np.random.Philox(key=_key(admitted.request_id)))
    return policy.draws(beliefs.arms, count=DRAWS, rng=chance)


def _tell(tried: Tried, trace: Trace) -> None:
    trace.note(
        rate=tried.plan.rate,
        segment=tried.segment,
        learned=sum(version > 0 for version in tried.beliefs.versions),
        rules=[rule.name for rule in tried.rules],
    )


def _plan(admitted: Admitted) -> ExplorationPlan:
    """The chance of a request comes from its id alone."""
    rate = admitted.options.exploration_rate
    return plan_exploration(rate=rate, slots=admitted.count, seed=admitted.request_id)


def _key(request_id: str) -> NDArray[np.uint64]:
    """Of a generator that takes it as it is: to spread a seed takes longer than to draw."""
    return np.frombuffer(shake_256(f"beliefs:{request_id}".encode()).digest(16), "<u8")
