from typing import Any

import pytest

from domain.contributions import GROUPS
from domain.reasons import BECAUSE, DESCRIPTIONS, SENTENCES, leading, reasoned

WEIGHTS = {"similar_items": 0.4, "freshness": 0.3, "trending": 0.2, "exploration": 0.1}
FACTS: dict[str, Any] = {
    "weights": WEIGHTS,
    "similar_title": "Red mug",
    "similar_action": "purchase",
    "trending_place": 2,
}


def test_concise_says_one_thing() -> None:
    said = reasoned(FACTS, style="concise")
    assert said.headline == "Recommended because you bought Red mug"
    assert said.detailed == "Similar to Red mug, which you bought."


def test_detailed_says_all_with_their_shares() -> None:
    said = reasoned(FACTS, style="detailed")
    assert said.detailed == (
        "Similar to Red mug, which you bought (40%). Number 2 among what is trending now (20%). "
        "Something new to try (10%). New in the catalogue (30%)."
    )


def test_conversational_talks() -> None:
    said = reasoned(FACTS, style="conversational")
    assert said.headline == "You see this because you bought Red mug"
    assert said.detailed == (
        "Similar to Red mug, which you bought. Also: number 2 among what is trending now; "
        "something new to try."
    )


def test_all_styles_have_the_same_factors() -> None:
    found = {reasoned(FACTS, style=style).factors for style in SENTENCES}  # type: ignore[arg-type]
    assert len(found) == 1
    assert {one.factor: one.weight for one in found.pop()} == WEIGHTS


@pytest.mark.parametrize(
    ("weights", "leads"),
    [
        ({"exploration": 0.7, "trending": 0.3}, "trending"),
        ({"exploration": 0.97, "trending": 0.03}, "exploration"),
        ({"rewards": 0.9, "category_affinity": 0.1}, "category_affinity"),
        ({"rewards": 0.6, "variety": 0.4}, "rewards"),
        ({"bought_again": 0.5, "neighbour": 0.5}, "bought_again"),
    ],
)
def test_the_headline_is_of_the_best_reason(weights: dict[str, float], leads: str) -> None:
    assert leading({"weights": weights}) == leads


@pytest.mark.parametrize(
    ("name", "facts", "says"),
    [
        ("similar_items", {}, "Similar to what you looked at lately"),
        ("similar_items", {"met_action": "dwell"}, "You looked at it lately"),
        ("neighbour", {}, "Often met together with what you looked at lately"),
        (
            "neighbour",
            {"neighbour_title": "Lamp", "neighbour_action": "click"},
            "Often met together with Lamp, which you clicked",
        ),
        ("category_affinity", {"category": "mugs"}, "In a category that you like: mugs"),
        (
            "category_affinity",
            {"category": "mugs", "category_actions": 1},
            "You had 1 action in mugs lately",
        ),
        ("bought_again", {"bought": 3}, "You have bought it 3 times lately"),
        ("bought_again", {}, "You buy it again"),
        ("trending", {}, "Trending now"),
        ("popularity", {"popular_place": 4}, "Number 4 of the most popular"),
        ("popularity", {}, "Popular with everybody"),
        ("rewards", {"posterior_version": 3}, "People in a situation like yours respond to it"),
        (
            "rewards",
            {"posterior_version": 0},
            "How people respond to it isn't known yet, so it counts as average",
        ),
    ],
)  # fmt: skip
def test_each_factor_in_words(name: str, facts: dict[str, Any], says: str) -> None:
    assert DESCRIPTIONS[name](facts) == says


def test_every_factor_has_words() -> None:
    parts = {"ranker", "rewards", "mood", "freshness", "novelty", "variety", "exploration"}
    assert DESCRIPTIONS.keys() == BECAUSE.keys() == GROUPS.keys() | parts
    for because in BECAUSE.values():
        assert because({"category": "mugs"})


@pytest.mark.parametrize(
    ("name", "facts", "because"),
    [
        ("similar_items", {}, "it is like what you looked at lately"),
        ("similar_items", {"met_action": "purchase"}, "you bought it lately"),
        ("neighbour", {}, "it is often met together with what you looked at"),
        ("neighbour", {"neighbour_title": "Lamp"}, "it is often met together with Lamp"),
    ],
)
def test_each_headline_in_words(name: str, facts: dict[str, Any], because: str) -> None:
    assert BECAUSE[name](facts) == because
