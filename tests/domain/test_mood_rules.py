from dataclasses import replace

import numpy as np
import pytest

from domain.emotion import EmotionState, Mood, mood_at
from domain.mood_rules import LABELS, RULES, factors, rules_in

CALM = replace(mood_at(EmotionState(), at_ms=0), scroll_behavior="searching")


def names(mood: Mood | None) -> list[str]:
    return [rule.name for rule in rules_in(mood)]


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        (replace(CALM, sentiment_score=0.31), ["good_mood_aspires"]),
        (replace(CALM, sentiment_score=0.3), []),
        (replace(CALM, sentiment_score=-0.31), ["bad_mood_returns", "bad_mood_wants_comfort"]),
        (replace(CALM, sentiment_score=-0.3), []),
        (replace(CALM, engagement_velocity=5.1), ["hurry_likes_short", "hurry_avoids_long"]),
        (replace(CALM, engagement_velocity=5.0), []),
        (
            replace(CALM, frustration_score=0.51),
            ["frustration_wants_sure_things", "frustration_stops_trials"],
        ),
        (replace(CALM, frustration_score=0.5), []),
        (
            replace(CALM, scroll_behavior="deciding"),
            ["deciding_wants_decisive", "deciding_wants_comparisons"],
        ),
        (replace(CALM, scroll_behavior="browsing"), ["browsing_likes_variety"]),
        (CALM, []),
        (None, []),
    ],
)
def test_rules_hold_in_the_documents_moods(mood: Mood | None, expected: list[str]) -> None:
    assert names(mood) == expected


def test_factors_are_the_documents_and_multiply() -> None:
    mood = replace(CALM, sentiment_score=-0.5, frustration_score=0.9, scroll_behavior="deciding")
    traits = {
        "engaged_before": np.array([True, True, False, False]),
        "comforting": np.array([False, True, False, False]),
        "sure": np.array([False, False, True, False]),
    }
    found = factors(rules_in(mood), traits, count=4)
    assert found == pytest.approx([1.15, 1.15 * 1.1, 1.2, 1.0])


def test_a_trait_may_differ_from_draw_to_draw() -> None:
    tried = np.array([[True, False], [False, False]])
    found = factors(rules_in(replace(CALM, frustration_score=1.0)), {"tried": tried}, count=2)
    assert found == pytest.approx(np.array([[0.7, 1.0], [1.0, 1.0]]))


def test_every_trait_that_a_label_names_has_a_rule() -> None:
    assert set(LABELS.values()) <= {rule.trait for rule in RULES}
