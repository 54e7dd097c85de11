import numpy as np
import pytest

from domain.taste import LATEST, Met, taste_of, weight_of

HOUR_MS = 3_600_000
X = np.array([1, 0], np.float32)
Y = np.array([0, 1], np.float32)


def test_nothing_met_says_nothing() -> None:
    taste = taste_of([], now_ms=0)
    assert taste.mean is None
    assert len(taste.latest) == 0
    assert taste.log_price is None


def test_weights_are_those_of_the_actions_faded_over_a_day() -> None:
    assert weight_of(Met(item_id="a", action="click", at_ms=0), now_ms=0) == pytest.approx(0.3)
    day_old = Met(item_id="a", action="purchase", at_ms=0)
    assert weight_of(day_old, now_ms=24 * HOUR_MS) == pytest.approx(np.exp(-1))


def test_an_event_from_the_future_counts_as_one_of_now() -> None:
    assert weight_of(Met(item_id="a", action="purchase", at_ms=10), now_ms=0) == 1.0


def test_the_mean_points_where_the_weights_pull() -> None:
    met = [
        Met(item_id="a", action="purchase", at_ms=0, vector=X),
        Met(item_id="b", action="click", at_ms=0, vector=Y),
    ]
    mean = taste_of(met, now_ms=0).mean
    assert mean == pytest.approx(np.array([1.0, 0.3]) / np.hypot(1.0, 0.3), abs=1e-6)


def test_what_was_dismissed_pulls_nowhere_but_is_remembered() -> None:
    met = [Met(item_id="a", action="dismiss", at_ms=0, vector=X, category="mugs", price=2.0)]
    taste = taste_of(met, now_ms=0)
    assert taste.mean is None
    assert taste.category_share == {}
    assert taste.dismissed == {"a"}
    assert taste.seen == {"a": 1}


def test_shares_and_price_are_weighted() -> None:
    met = [
        Met(item_id="a", action="purchase", at_ms=0, category="mugs", price=8.0),
        Met(item_id="b", action="click", at_ms=0, category="lamps", price=2.0),
        Met(item_id="c", action="click", at_ms=0),
    ]
    taste = taste_of(met, now_ms=0)
    assert taste.category_share == pytest.approx({"mugs": 1 / 1.3, "lamps": 0.3 / 1.3})
    assert taste.log_price == pytest.approx((np.log(8) + 0.3 * np.log(2)) / 1.3)
    assert taste.purchased == {"a"}


def test_the_latest_are_the_newest_that_have_a_vector() -> None:
    met = [Met(item_id="n", action="click", at_ms=0)]
    met += [Met(item_id=f"i{n}", action="click", at_ms=0, vector=X * n) for n in range(1, 20)]
    latest = taste_of(met, now_ms=0).latest
    assert latest[:, 0].tolist() == list(range(1, LATEST + 1))


def test_opposite_vectors_leave_no_direction() -> None:
    met = [
        Met(item_id="a", action="click", at_ms=0, vector=X),
        Met(item_id="b", action="click", at_ms=0, vector=-X),
    ]
    assert taste_of(met, now_ms=0).mean is None


def test_who_has_bought_something_twice_buys_again_what_they_bought() -> None:
    def bought(*names: str) -> list[Met]:
        return [Met(item_id=name, action="purchase", at_ms=0) for name in names]

    assert taste_of(bought("tea", "mug", "tea"), now_ms=0).again == ("tea", "mug")
    assert taste_of(bought("tea", "mug"), now_ms=0).again == ()
    assert taste_of([], now_ms=0).again == ()
