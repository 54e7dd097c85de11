from typing import Any

import pytest

from domain.reason_rules import Circumstances, held_back_by, selected_by

# Somebody of whom enough is known, and who has time.
PLAIN: dict[str, Any] = {
    "shares": {"mugs": 0.4, "lamps": 0.1},
    "interactions": 5,
    "uncertainty": 0.3,
    "page_type": "home",
    "placement": "feed",
    "time_left_s": 0.1,
}


def circumstances(**changed: Any) -> Circumstances:
    return Circumstances(**{**PLAIN, **changed})


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({}, None),
        ({"asked": True}, "explanation"),
        ({"cold": True}, "cold_start"),
        ({"uncertainty": 0.5}, None),
        ({"uncertainty": 0.51}, "unsure"),
        ({"page_type": "item_detail"}, "purchase"),
        ({"page_type": "cart"}, "purchase"),
        ({"page_type": "category"}, None),
        ({"placement": "checkout"}, "purchase"),
        ({"shares": {"a": 0.3, "b": 0.3, "c": 0.2}}, "cross_domain"),
        ({"shares": {"a": 0.3, "b": 0.3, "c": 0.19}}, None),
    ],
)
def test_what_selects_a_request(changed: dict[str, Any], rule: str | None) -> None:
    assert selected_by(circumstances(**changed)) == rule


def test_of_several_rules_the_first_counts() -> None:
    assert selected_by(circumstances(asked=True, cold=True, page_type="cart")) == "explanation"
    assert selected_by(circumstances(cold=True, uncertainty=0.7)) == "cold_start"


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({}, None),
        ({"limited": True}, "limited"),
        ({"time_left_s": 0.0}, "no_time"),
        ({"time_left_s": -0.1}, "no_time"),
        ({"remembered": True, "uncertainty": 0.19}, "sure_and_remembered"),
        ({"remembered": True, "uncertainty": 0.2}, None),
        ({"remembered": False, "uncertainty": 0.1}, None),
        ({"interactions": 20, "shares": {"mugs": 0.5}}, "known_well"),
        ({"interactions": 19, "shares": {"mugs": 0.5}}, None),
        ({"interactions": 20, "shares": {"mugs": 0.49}}, None),
        ({"interactions": 20, "shares": {"mugs": 0.5}, "cold": True}, None),
        ({"interactions": 20, "shares": {}}, None),
    ],
)
def test_what_holds_a_request_back(changed: dict[str, Any], rule: str | None) -> None:
    assert held_back_by(circumstances(**changed)) == rule


def test_what_holds_back_does_so_for_those_who_ask_too() -> None:
    asked = circumstances(asked=True, interactions=20, shares={"mugs": 0.9})
    assert (selected_by(asked), held_back_by(asked)) == ("explanation", "known_well")
