from typing import Any

import pytest

from domain.explanation import Evidence, explain
from schemas.types import CandidateSource


def test_the_strongest_reason_comes_first_and_all_are_named() -> None:
    said = explain(
        Evidence(
            source="content",
            similar_title="Red mug",
            similar_action="purchase",
            similarity=0.9,
            category="mugs",
            category_share=0.8,
            price_affinity=0.9,
            trending_place=2,
            popular_place=7,
        )
    )
    assert said.primary_reason == "Similar to Red mug, which you bought"
    assert said.signals == (
        "bought_similar",
        "category_match",
        "trending",
        "popular",
        "price_match",
    )


@pytest.mark.parametrize(
    ("evidence", "reason", "signal"),
    [
        (
            {"category": "mugs", "category_share": 0.5},
            "Based on your recent interest in mugs",
            "category_match",
        ),
        ({"trending_place": 3}, "Number 3 among what is trending now", "trending"),
        ({"popular_place": 4}, "Number 4 of the most popular", "popular"),
        ({"price_affinity": 0.9}, "Within your usual price range", "price_match"),
    ],
)
def test_each_reason_alone(evidence: dict[str, Any], reason: str, signal: str) -> None:
    said = explain(Evidence(source="collaborative", **evidence))
    assert (said.primary_reason, said.signals) == (reason, (signal,))


def test_weak_evidence_is_no_reason() -> None:
    said = explain(
        Evidence(
            source="trending",
            similar_title="Red mug",
            similarity=0.1,
            category="mugs",
            category_share=0.01,
            price_affinity=0.2,
        )
    )
    assert said.primary_reason == "Chosen from the catalogue for you"
    assert said.signals == ("trending",)


def test_what_is_tried_says_so_behind_every_better_reason() -> None:
    said = explain(Evidence(source="exploration", found_by="trending", trending_place=1))
    assert said.primary_reason == "Number 1 among what is trending now"
    assert said.signals == ("trending", "exploration")
    said = explain(Evidence(source="exploration", found_by="content"))
    assert (said.primary_reason, said.signals) == ("Something new to try", ("exploration",))


@pytest.mark.parametrize(
    ("found_by", "reason", "signal"),
    [
        ("repeat", "You buy it again and again", "bought_again"),
        ("neighbour", "Often met together with what you looked at lately", "met_together"),
    ],
)
def test_what_brought_an_item_is_a_reason(
    found_by: CandidateSource, reason: str, signal: str
) -> None:
    said = explain(Evidence(source="exploration", found_by=found_by, popular_place=1))
    assert (said.primary_reason, said.signals[0]) == (reason, signal)
    assert "popular" in said.signals


def test_an_action_without_words_of_its_own() -> None:
    said = explain(
        Evidence(source="content", similar_title="Mug", similar_action="review", similarity=0.9)
    )
    assert said.primary_reason == "Similar to Mug, which you met"
