import pytest

from domain.affinity import Affinities
from tests.stores.records import user_snapshot
from writers.preferred import preferred_categories


def test_the_shares_of_what_is_liked() -> None:
    likes = Affinities()
    for category, weight in (("mugs", 0.9), ("lamps", 0.3), ("toys", -0.5)):
        likes.add(likes.number_of(category, in_use=set), weight, timestamp_ms=0)
    found = preferred_categories(user_snapshot("u", 1, affinities=likes.to_bytes()))
    assert found == pytest.approx({"mugs": 0.75, "lamps": 0.25})


def test_nothing_known_is_nothing_preferred() -> None:
    assert preferred_categories(user_snapshot("u", 1)) == {}


def test_tastes_of_a_format_to_come_are_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    assert preferred_categories(user_snapshot("u", 1, affinities=b"\xff")) == {}
    assert "tastes of a user can't be read, and are left out: affinities of" in caplog.text
