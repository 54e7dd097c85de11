import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cold_start import light_score, mix, one_of_each

rows = st.lists(st.integers(0, 60), unique=True)


@given(
    lists=st.fixed_dictionaries(
        {"popular": rows, "trending": rows, "diverse": rows, "newest": rows}
    ),
    count=st.integers(1, 40),
)
def test_a_mix_has_no_repeats_and_is_as_long_as_it_can_be(
    lists: dict[str, list[int]], count: int
) -> None:
    chosen = mix(lists, count=count)
    assert len(chosen) <= count
    assert set(chosen) <= {row for one in lists.values() for row in one}
    if len(chosen) < count:
        assert set(lists["popular"]) <= set(chosen)


def test_shares_are_the_documents() -> None:
    lists = {
        name: list(range(start, start + 100))
        for name, start in [("popular", 0), ("trending", 100), ("diverse", 200), ("newest", 300)]
    }
    chosen = list(mix(lists, count=20))
    assert [sum(row // 100 == part for row in chosen) for part in range(4)] == [6, 4, 6, 4]
    assert list(mix(lists, count=20).values()).count("exploration") == 4


def test_popular_items_stand_in_for_what_lacks() -> None:
    lists: dict[str, list[int]] = {
        "popular": [1, 2, 3, 4, 5],
        "trending": [],
        "diverse": [],
        "newest": [],
    }
    assert list(mix(lists, count=4)) == [1, 2, 3, 4]


def test_one_of_each_keeps_the_first_of_a_group() -> None:
    assert one_of_each([3, 2, 1, 0], [None, "a", "a", None]) == [3, 2]


def test_light_score_is_the_documents() -> None:
    one, no = np.ones(1, np.float32), np.zeros(1, np.float32)
    assert light_score(one, quality=no, freshness=no) == pytest.approx([0.4])
    assert light_score(no, quality=one, freshness=no) == pytest.approx([0.3])
    assert light_score(no, quality=no, freshness=one) == pytest.approx([0.3])
