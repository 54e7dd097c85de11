"""Moods move what is worth showing (document 000, algorithm 4): each rule is a line of a table.

A rule holds in a mood and lifts or lowers the items that have a trait. Factors multiply. The
document's cap on categories stands where the list is filled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.emotion import Mood

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

GOOD_MOOD, BAD_MOOD = 0.3, -0.3
# Interactions a minute.
HURRIED = 5.0
FRUSTRATED = 0.5

# What a catalogue says of its items by category or tag, and the trait that it is.
LABELS: Mapping[str, str] = {
    "premium": "aspirational",
    "trending": "aspirational",
    "new": "aspirational",
    "comfort": "comforting",
    "familiar": "comforting",
    "short": "short",
    "long": "long",
    "clear_cta": "decisive",
    "comparison": "comparing",
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a mood makes of items with a trait."""

    name: str
    holds: Callable[[Mood], bool]
    trait: str
    factor: float


RULES: tuple[Rule, ...] = (
    Rule(
        name="good_mood_aspires",
        holds=lambda mood: mood.sentiment_score > GOOD_MOOD,
        trait="aspirational",
        factor=1.1,
    ),
    Rule(
        name="bad_mood_returns",
        holds=lambda mood: mood.sentiment_score < BAD_MOOD,
        trait="engaged_before",
        factor=1.15,
    ),
    Rule(
        name="bad_mood_wants_comfort",
        holds=lambda mood: mood.sentiment_score < BAD_MOOD,
        trait="comforting",
        factor=1.1,
    ),
    Rule(
        name="hurry_likes_short",
        holds=lambda mood: mood.engagement_velocity > HURRIED,
        trait="short",
        factor=1.1,
    ),
    Rule(
        name="hurry_avoids_long",
        holds=lambda mood: mood.engagement_velocity > HURRIED,
        trait="long",
        factor=0.9,
    ),
    Rule(
        name="frustration_wants_sure_things",
        holds=lambda mood: mood.frustration_score > FRUSTRATED,
        trait="sure",
        factor=1.2,
    ),
    Rule(
        name="frustration_stops_trials",
        holds=lambda mood: mood.frustration_score > FRUSTRATED,
        trait="tried",
        factor=0.7,
    ),
    Rule(
        name="deciding_wants_decisive",
        holds=lambda mood: mood.scroll_behavior == "deciding",
        trait="decisive",
        factor=1.1,
    ),
    Rule(
        name="deciding_wants_comparisons",
        holds=lambda mood: mood.scroll_behavior == "deciding",
        trait="comparing",
        factor=1.15,
    ),
    Rule(
        name="browsing_likes_variety",
        holds=lambda mood: mood.scroll_behavior == "browsing",
        trait="new_category",
        factor=1.1,
    ),
)


def rules_in(mood: Mood | None) -> tuple[Rule, ...]:
    """The rules that hold; none where no mood is known.

    >>> rules_in(None)
    ()
    """
    return () if mood is None else tuple(rule for rule in RULES if rule.holds(mood))


def factors(rules: tuple[Rule, ...], traits: Mapping[str, Mask], *, count: int) -> Floats:
    """What the worth of each item is multiplied by; of a trait that isn't told nobody has it.

    >>> new = np.array([True, False])
    >>> browsing = [rule for rule in RULES if rule.name == "browsing_likes_variety"]
    >>> factors((*browsing,), {"new_category": new}, count=2).round(2).tolist()
    [1.100000023841858, 1.0]
    """
    product = np.ones(count, np.float32)
    for rule in rules:
        if rule.trait in traits:
            product = product * np.where(traits[rule.trait], np.float32(rule.factor), np.float32(1))
    return product
