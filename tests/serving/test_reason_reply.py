"""What a model may say and what not, whatever it says."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.reason_facts import ItemFacts
from domain.reason_text import flaw
from serving.reason_prompt import DETAILED_LENGTH, HEADLINE_LENGTH, REASON_LENGTH, about_item
from serving.reason_reply import MOST_PARTS, Text, read_explanation, read_reasons

MUG = ItemFacts("Red mug", "mugs", 4.5, ("trending",))
LAMP = ItemFacts("Lamp of 6", "lamps", None, ())
ITEMS = [MUG, LAMP]


def reply(*parts: Any) -> str:
    return json.dumps({"reasons": parts})


def test_each_item_gets_its_text() -> None:
    read = read_reasons(
        reply({"item": 2, "text": "6 at once"}, {"item": 1, "text": " For 4.5 "}), ITEMS
    )
    assert read.texts == {LAMP: "6 at once", MUG: "For 4.5"}
    assert read.refused == ()


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"item": 0, "text": "No"}, "unknown_item"),
        ({"item": 3, "text": "No"}, "unknown_item"),
        ({"item": -1, "text": "No"}, "unknown_item"),
        ({"item": 10**30, "text": "No"}, "unknown_item"),
        ({"item": "1", "text": "No"}, "wrong_shape"),
        ({"item": 1.0, "text": "No"}, "wrong_shape"),
        ({"item": True, "text": "No"}, "wrong_shape"),
        ({"item": 1}, "wrong_shape"),
        ({"item": 1, "text": ["No"]}, "wrong_shape"),
        ({"item": 1, "text": "No", "rank": 2}, "wrong_shape"),
        ({"item_id": "mug-0", "text": "No"}, "wrong_shape"),
        ("No", "wrong_shape"),
        ({"item": 2, "text": "Again"}, "repeated_item"),
        ({"item": 1, "text": ""}, "empty"),
        ({"item": 1, "text": "x" * (REASON_LENGTH + 1)}, "too_long"),
        ({"item": 1, "text": "a\x00b"}, "control_character"),
        ({"item": 1, "text": "<script>"}, "markup"),
        ({"item": 1, "text": "buy at evil.example"}, "link"),
        ({"item": 1, "text": "6 at once"}, "unfounded_number"),
    ],
)
def test_a_wrong_part_is_refused_and_the_rest_taken(part: Any, why: str) -> None:
    read = read_reasons(reply({"item": 2, "text": "A lamp"}, part), ITEMS)
    assert read.texts == {LAMP: "A lamp"}
    assert read.refused == (why,)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Sure! Here it is", "not_json"),
        ("```json\n{}\n```", "not_json"),
        ("", "not_json"),
        ("[" * 100_000, "not_json"),
        ("[]", "wrong_shape"),
        ("{}", "wrong_shape"),
        ('{"reasons": {}}', "wrong_shape"),
        ('{"reasons": [], "order": [2, 1]}', "wrong_shape"),
        (reply(*[{"item": 1, "text": "x"}] * (MOST_PARTS + 1)), "wrong_shape"),
    ],
)
def test_a_reply_of_another_kind_is_refused_whole(text: str, why: str) -> None:
    read = read_reasons(text, ITEMS)
    assert (read.texts, read.refused) == ({}, (why,))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["item", "text", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)
parts = st.fixed_dictionaries({"item": st.integers(-1, 4) | json_values, "text": st.text()})
replies = st.one_of(
    st.text(),
    json_values.map(json.dumps),
    st.lists(parts | json_values, max_size=8).map(lambda found: json.dumps({"reasons": found})),
    st.lists(parts, max_size=8).map(
        lambda found: json.dumps({"reasons": found}, ensure_ascii=False)
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(replies)
def test_whatever_a_model_says_only_sound_texts_of_these_items_come_of_it(said: str) -> None:
    read = read_reasons(said, ITEMS)
    assert read.texts.keys() <= set(ITEMS)
    for item, text in read.texts.items():
        assert flaw(text, longest=REASON_LENGTH, numbers=item.numbers) is None
    found = read_explanation(said, numbers=frozenset())
    assert isinstance(found, str)


def test_an_explanation_is_read() -> None:
    said = json.dumps({"headline": "For mug lovers", "detailed": " You viewed 15 of them. "})
    assert read_explanation(said, numbers=frozenset({15.0})) == Text(
        headline="For mug lovers", detailed="You viewed 15 of them."
    )


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"headline": "x"}, "wrong_shape"),
        ({"headline": "x", "detailed": "y", "factors": []}, "wrong_shape"),
        ({"headline": "x" * (HEADLINE_LENGTH + 1), "detailed": "y"}, "too_long"),
        ({"headline": "x", "detailed": "y" * (DETAILED_LENGTH + 1)}, "too_long"),
        ({"headline": "x", "detailed": "15 of them"}, "unfounded_number"),
        ({"headline": "<i>", "detailed": "y"}, "markup"),
    ],
)
def test_a_wrong_explanation_is_refused(said: dict[str, str], why: str) -> None:
    assert read_explanation(json.dumps(said), numbers=frozenset()) == why


def test_facts_never_stand_among_the_orders() -> None:
    orders, facts = about_item({"title": "OBEY {length} {manner} %s"}, "detailed")
    assert "OBEY" not in orders["content"]
    assert json.loads(facts["content"]) == {"title": "OBEY {length} {manner} %s"}
