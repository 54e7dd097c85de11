import numpy as np
import pytest

from domain.similar import blended, common_attributes, evidence_of, of_the_best, personal
from schemas.types import ItemEvent


def floats(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_scores_become_shares_of_the_greatest_and_none_falls_below_0() -> None:
    assert of_the_best({"a": 0.5, "b": -0.1, "c": 0.1}) == pytest.approx({"a": 1, "b": 0, "c": 0.2})
    assert of_the_best({}) == of_the_best({"a": 0.0}) == {}


def test_an_empty_side_leaves_all_to_the_other() -> None:
    assert blended(floats(0, 0), floats(0.2, 0.4)) == pytest.approx([0.2, 0.4])
    assert blended(floats(0.2, 0.4), floats(0, 0)) == pytest.approx([0.2, 0.4])
    assert blended(floats(0.2, 0.0), floats(0.0, 0.4)) == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("content", "together", "expected"),
    [(0.0, 0.0, "content"), (0.0, 0.1, "collaborative"), (0.1, 0.1, "hybrid")],
)
def test_the_evidence_is_what_speaks_for_it(content: float, together: float, expected: str) -> None:
    assert evidence_of(content, together) == expected


def test_a_user_orders_what_is_alike_but_brings_up_nothing_else() -> None:
    liked_but_unlike, alike = personal(floats(0.1, 0.9), floats(1.0, 0.0))
    assert alike > liked_but_unlike
    first, second = personal(floats(0.8, 0.8), floats(0.1, 0.9))
    assert second > first


def test_only_what_both_have_is_common_and_tags_are_few() -> None:
    tags = tuple(f"t{number}" for number in range(9))
    one = ItemEvent(item_id="a", updated_at_ms=1, creator_id="c", brand_id="x", tags=tags)
    other = ItemEvent(item_id="b", updated_at_ms=1, creator_id="c", brand_id="y", tags=tags)
    assert common_attributes(one, other) == ("creator:c", *(f"tag:t{n}" for n in range(5)))
    nothing = ItemEvent(item_id="c", updated_at_ms=1)
    assert common_attributes(nothing, nothing) == ()
