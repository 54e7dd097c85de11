import pytest

from domain.beside import most_likely, together


def test_the_newest_item_counts_most() -> None:
    chance = together([[("after-new", 0.4)], [("after-old", 0.4)]])
    assert chance == pytest.approx({"after-new": 0.4 / 1.8, "after-old": 0.8 * 0.4 / 1.8})


def test_an_item_beside_several_adds_up() -> None:
    chance = together([[("a", 0.5)], [("a", 0.5)], []])
    assert chance["a"] == pytest.approx((0.5 + 0.8 * 0.5) / (1 + 0.8 + 0.64))


def test_nothing_is_likely_beside_nothing() -> None:
    assert together([]) == {}
    assert most_likely({}, most=3) == []


def test_the_likeliest_come_first_and_no_more_than_asked() -> None:
    assert most_likely({"x": 0.2, "y": 0.9, "z": 0.2}, most=2) == ["y", "x"]
