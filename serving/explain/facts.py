"""What is known of an item's place in an answer: as plain facts, for sentences and for machines.

`facts_of` is the one place from which explanations are written. Whoever lets a language model write
them gives it this mapping, and nothing of the user beyond it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from domain import contributions
from domain.contributions import Standing, Weighed, parts_of, standings, taken_away, weights_of
from domain.explanation import SIMILAR
from domain.mood_rules import factors
from domain.policies import POLICIES, explores
from domain.ranking_features import FEATURES
from domain.rerank import Shortlist as Filled
from domain.rerank import Slot, category_cap
from domain.taste import Met, taste_of
from serving.catalog import Catalog
from serving.evidence.retelling import Floats, Recorded, Told
from serving.known_user import readable
from serving.situation import mood_of
from serving.stages.answer import WORTH_SAYING, Chosen, nearest_met
from serving.stages.explore import SURE

BESIDE = FEATURES.index("beside_latest")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """An item at its place: place `at` of what was chosen. `recorded` where it is of a kept answer.

    `policy_weight` is how much the policy's word counts; `notes` grow with what has to be said.
    """

    chosen: Chosen
    catalog: Catalog
    at: int
    policy: str
    policy_weight: float
    notes: list[str] = field(default_factory=list)
    recorded: Recorded | None = None

    @classmethod
    def of(cls, told: Told, *, at: int, notes: list[str]) -> "Case":
        """The case of a kept answer; its places are those that it had, whatever comes out now."""
        answer = told.recorded.answer
        if told.changed:
            notes.append(
                f"vectors of {len(told.changed)} items have changed since, so how varied the list "
                "was can't be told exactly"
            )
        chosen = told.chosen
        slots = [
            Slot(
                index=place.index,
                propensity=place.propensity,
                explored=place.explored,
                belief=place.belief,
            )
            for place in answer.places
        ]
        return cls(
            chosen=_with(chosen, slots),
            catalog=told.catalog,
            at=at,
            policy=chosen.admitted.policy or answer.policy,
            policy_weight=answer.policy_weight,
            notes=notes,
            recorded=told.recorded,
        )

    @property
    def slot(self) -> Slot:
        """The item's place."""
        return self.chosen.slots[self.at]

    @property
    def index(self) -> int:
        """Where the item stands in the ranking."""
        return self.slot.index

    @property
    def item_id(self) -> str:
        """The item."""
        return self.chosen.shortlist.ids[self.index]

    @property
    def row(self) -> int:
        """The item's row in the catalogue of the case."""
        return self.chosen.row(self.slot)

    @property
    def model(self) -> str:
        """What scored the item."""
        return self.chosen.shortlist.model_version

    @property
    def features(self) -> Floats | None:
        """What the ranker saw of the item."""
        seen = self.chosen.shortlist.evidence.features
        return None if seen is None else seen[self.index]

    @property
    def beside(self) -> float:
        """What the ranker saw of what is met beside the user's items."""
        return 0.0 if self.features is None else float(self.features[BESIDE])

    @property
    def liked(self) -> tuple[str, ...]:
        """What the user liked lately, the latest first."""
        return taste_of(self.chosen.known.met, now_ms=self.chosen.admitted.now_ms).liked

    @cached_property
    def expected(self) -> float:
        """What rewards promise of the item, if nothing is left to chance."""
        arms = self.chosen.tried.beliefs.arms
        return float(POLICIES[self.policy].expected(arms)[self.index])

    @cached_property
    def factor(self) -> float:
        """What the rules of moods multiply the item's worth by."""
        tried, ranked = self.chosen.tried, self.chosen.shortlist
        expected = POLICIES[self.policy].expected(tried.beliefs.arms)
        of_rewards = {
            "sure": tried.beliefs.uncertainty < SURE,
            "tried": explores(ranked.scores.astype(np.float64), expected),
        }
        traits = {**ranked.traits, **of_rewards}
        return float(factors(tried.rules, traits, count=len(ranked.ids))[self.index])

    @cached_property
    def standing(self) -> Standing:
        """How the item stood among what was left for its place."""
        admitted, ranked = self.chosen.admitted, self.chosen.shortlist
        weight = admitted.options.diversity_weight
        walked = standings(
            Filled(
                relevance=self.chosen.tried.relevance,
                closeness=ranked.likeness.closeness(),
                categories=self.catalog.column("category")[ranked.rows],
            ),
            [slot.index for slot in self.chosen.slots[: self.at + 1]],
            diversity_weight=weight,
            cap=category_cap(admitted.count) if weight > 0 else admitted.count,
        )
        return list(walked)[self.at]

    def parts(self) -> dict[str, float]:
        """What the item's worth at its place is the sum of."""
        ranked = self.chosen.shortlist
        return parts_of(
            Weighed(
                score=float(ranked.scores[self.index]),
                promise=self.expected,
                factor=self.factor,
                freshness=float(ranked.freshness[self.index]),
                novel=bool(ranked.novel[self.index]),
                standing=self.standing,
            ),
            policy_weight=self.policy_weight,
            diversity_weight=self.chosen.admitted.options.diversity_weight,
        )

    def light_falls(self) -> dict[str, float]:
        """By what the light score is divided, where no model was asked."""
        ranked = self.chosen.shortlist
        return contributions.light_falls(
            score=float(ranked.scores[self.index]),
            freshness=float(ranked.freshness[self.index]),
            trending=ranked.sources[self.index] == "trending",
        )


def seen_by(case: Case) -> Floats | None:
    """What the ranker is asked to learn what counted: all that it saw, then less and less."""
    return None if case.features is None else taken_away(case.features)


def facts_of(case: Case, divided: Mapping[str, float], neighbour: str | None) -> dict[str, Any]:
    """What may be said of why an item was shown; plain values, none of them a secret.

    `divided` says what counted in the ranker's score, `neighbour` beside which item it is met.
    """
    weights = weights_of(case.parts(), divided)
    entry, known = case.catalog.entries[case.row], case.chosen.known
    category = case.catalog.category_of(case.row)
    return {
        "item_id": case.item_id,
        "title": entry.title if entry else "",
        "category": category,
        "price": entry.price if entry else None,
        "rank": case.at + 1,
        "of": len(case.chosen.slots),
        "source": case.chosen.source(case.slot),
        "found_by": case.chosen.shortlist.sources[case.index],
        "weights": weights,
        "explored": case.slot.explored,
        "cold_start": known.is_cold,
        **_similar(case),
        **_met_itself(case),
        **_met_beside(case, neighbour),
        "category_actions": sum(one.category == category for one in known.met) if category else 0,
        "bought": sum(_bought(one, case.item_id) for one in known.met),
        "posterior_version": case.chosen.tried.beliefs.versions[case.index],
        "mood_rules": [rule.name for rule in case.chosen.tried.rules],
        **_places(case),
    }


def _with(chosen: Chosen, slots: Sequence[Slot]) -> Chosen:
    return Chosen(
        admitted=chosen.admitted,
        known=chosen.known,
        shortlist=chosen.shortlist,
        tried=chosen.tried,
        slots=slots,
        cached=chosen.cached,
    )


def _similar(case: Case) -> dict[str, Any]:
    nearest = nearest_met(_with(case.chosen, [case.slot]), case.catalog)[0]
    if nearest is None or nearest[1] < SIMILAR:
        return {}
    met, similarity = nearest
    return {
        "similar_item": met.item_id,
        "similar_title": _title(case.catalog, met.item_id),
        "similar_action": met.action,
        "similarity": round(similarity, 4),
    }


def _met_itself(case: Case) -> dict[str, str]:
    liked = case.item_id in case.liked
    action = next((one.action for one in case.chosen.known.met if one.item_id == case.item_id), "")
    return {"met_action": action} if liked else {}


def _met_beside(case: Case, neighbour: str | None) -> dict[str, Any]:
    if neighbour is None:
        return {}
    action = next(one.action for one in case.chosen.known.met if one.item_id == neighbour)
    return {
        "neighbour_item": neighbour,
        "neighbour_title": _title(case.catalog, neighbour),
        "neighbour_action": action,
    }


def _places(case: Case) -> dict[str, int]:
    lists = {
        "trending_place": case.catalog.trending,
        "popular_place": case.catalog.popular.tolist(),
    }
    return {
        name: rows.index(case.row) + 1
        for name, rows in lists.items()
        if case.row in rows[:WORTH_SAYING]
    }


def _bought(one: Met, item_id: str) -> bool:
    return one.item_id == item_id and one.action == "purchase"


def _title(catalog: Catalog, item_id: str) -> str:
    row = catalog.row(item_id)
    entry = catalog.entries[row] if row is not None else None
    return entry.title if entry else ""


def machine_trace(case: Case, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The whole evidence of the item's place, stage by stage."""
    chosen, ranked, tried = case.chosen, case.chosen.shortlist, case.chosen.tried
    admitted, index, slot = chosen.admitted, case.index, case.slot
    arms, sampled = tried.beliefs.arms, chosen.sampled(slot)
    told = {
        "answered_at": readable(admitted.now_ms),
        "facts": dict(facts),
        "context": {
            "segment": tried.segment,
            "cold_start": chosen.known.is_cold,
            "mood": _mood(case),
            "recent": [_recent(one) for one in chosen.known.met],
        },
        "candidates": {
            "found_by": ranked.sources[index],
            "place": index + 1,
            "of": len(ranked.ids),
        },
        "rank": {
            "model": ranked.model_version,
            "score": _number(ranked.scores[index]),
            "features": _features(case),
        },
        "explore": {
            "policy": case.policy,
            "policy_weight": case.policy_weight,
            "rate": tried.plan.rate,
            "posterior": {
                "alpha": _number(arms.alpha[index]),
                "beta": _number(arms.beta[index]),
                "version": tried.beliefs.versions[index],
                "expected": _number(case.expected),
                "sampled": None if sampled is None else _number(sampled),
            },
            "rules": [{"name": one.name, "factor": one.factor} for one in tried.rules],
            "mood_factor": _number(case.factor),
            "relevance": _number(tried.relevance[index]),
        },
        "rerank": {
            "place": case.at + 1,
            "propensity": slot.propensity,
            "explored": slot.explored,
            "diversity_weight": admitted.options.diversity_weight,
            "distance_to_those_above": _number(case.standing.distance),
            "lacking_to_the_best": _number(case.standing.lacks),
        },
        "parts": {name: _number(part) for name, part in case.parts().items()},
        "experiments": {one.experiment_id: one.arm.name for one in admitted.assignments},
    }
    return told | _recorded(case.recorded)


def _recorded(recorded: Recorded | None) -> dict[str, Any]:
    if recorded is None:
        return {}
    answer = recorded.answer
    return {
        "stages": orjson.loads(answer.steps),
        "fallbacks": list(answer.fallbacks),
        "cache_hit": answer.cached,
        "ranking": answer.ranking,
        "versions": {
            "user": answer.user.version,
            "embedding": answer.user.embedding_version,
            "model": recorded.ranking.model_version,
            "catalogue": answer.catalogue_version,
        },
    }


def _features(case: Case) -> dict[str, float] | None:
    if case.features is None:
        return None
    return {name: _number(value) for name, value in zip(FEATURES, case.features, strict=True)}


def _mood(case: Case) -> dict[str, Any] | None:
    view = case.chosen.known.view
    mood = mood_of(view, case.chosen.admitted.at_ms) if view.consent else None
    if mood is None:
        return None
    return {
        "label": mood.label,
        "valence": _number(mood.valence),
        "arousal": _number(mood.arousal),
        "dominance": _number(mood.dominance),
        "frustration": _number(mood.frustration_score),
        "velocity": _number(mood.engagement_velocity),
        "behavior": mood.scroll_behavior,
    }


def _recent(one: Met) -> dict[str, Any]:
    return {"item_id": one.item_id, "action": one.action, "at": readable(one.at_ms)}


def _number(value: Any) -> float:
    return round(float(value), 6)
