from typing import Any

import numpy as np
import pytest

from domain.ranking_features import (
    FEATURES,
    Activity,
    Floats,
    RankedItems,
    RankedUser,
    feature_matrix,
    price_affinity,
)
from domain.taste import Met, taste_of

NOON_MS = 12 * 3_600_000
X = np.array([1, 0], np.float32)
Y = np.array([0, 1], np.float32)


def items(**columns: Any) -> RankedItems:
    two: dict[str, Any] = {
        "ids": ["a", "b"],
        "vectors": np.stack([X, Y]),
        "categories": ["mugs", None],
        "prices": np.array([4.0, np.nan]),
        "popularity": np.array([0.0, np.e - 1]),
        "trending": np.array([0.5, 0.0], np.float32),
        "quality": np.array([0.2, 0.3], np.float32),
        "freshness": np.array([1.0, 0.0], np.float32),
        "beside": np.array([0.25, 0.0], np.float32),
        "from_sources": np.array(
            [[True, False, False, False, True, False], [False, True, False, False, False, False]]
        ),
    }
    return RankedItems(**{**two, **columns})


def named(matrix: Floats, name: str) -> Floats:
    column: Floats = matrix[:, FEATURES.index(name)]
    return column


def test_the_order_of_features_is_a_contract() -> None:
    assert len(FEATURES) == 29
    assert FEATURES[:4] == ("cosine_long_term", "cosine_recent", "cosine_last", "cosine_nearest")
    assert FEATURES[4] == "beside_latest"
    assert FEATURES[-6:] == (
        "from_collaborative",
        "from_content",
        "from_neighbour",
        "from_repeat",
        "from_trending",
        "from_popular",
    )
    assert len(set(FEATURES)) == len(FEATURES)


def test_an_unknown_user_has_features_of_the_items_alone() -> None:
    matrix = feature_matrix(RankedUser(), items(), now_ms=NOON_MS)
    assert matrix.dtype == np.float32
    assert np.isfinite(matrix).all()
    for name in (*FEATURES[:4], "price_affinity", "category_share", "log_seen", "recency"):
        assert named(matrix, name).tolist() == [0.0, 0.0]
    assert named(matrix, "log_popularity") == pytest.approx([0.0, 1.0])
    assert named(matrix, "beside_latest") == pytest.approx([0.5, 0.0])
    assert named(matrix, "trending") == pytest.approx([0.5, 0.0])
    assert named(matrix, "quality") == pytest.approx([0.2, 0.3])
    assert named(matrix, "freshness") == pytest.approx([1.0, 0.0])
    assert named(matrix, "from_trending").tolist() == [1.0, 0.0]


def test_likeness_to_what_was_met() -> None:
    met = [
        Met(item_id="b", action="click", at_ms=NOON_MS, vector=Y, category="mugs", price=4.0),
        Met(item_id="a", action="purchase", at_ms=NOON_MS, vector=X),
        Met(item_id="a", action="dismiss", at_ms=NOON_MS, vector=X),
    ]
    user = RankedUser(vector=np.array([0.6, 0.8], np.float32), taste=taste_of(met, now_ms=NOON_MS))
    matrix = feature_matrix(user, items(), now_ms=NOON_MS)
    assert named(matrix, "cosine_long_term") == pytest.approx([0.6, 0.8])
    assert named(matrix, "cosine_recent") == pytest.approx(np.array([1, 0.3]) / np.hypot(1, 0.3))
    assert named(matrix, "cosine_last") == pytest.approx([0.0, 1.0])
    assert named(matrix, "cosine_nearest") == pytest.approx([1.0, 1.0])
    assert named(matrix, "category_share") == pytest.approx([1.0, 0.0])
    assert named(matrix, "price_affinity") == pytest.approx([1.0, 0.0])
    assert named(matrix, "log_seen") == pytest.approx(np.log1p([2, 1]))
    assert named(matrix, "purchased").tolist() == [1.0, 0.0]
    assert named(matrix, "dismissed").tolist() == [1.0, 0.0]


def test_activity_and_time() -> None:
    activity = Activity(
        views_5min=1,
        clicks_5min=2,
        events_1h=3,
        events_24h=4,
        interactions=5,
        last_event_ms=NOON_MS - 3_600_000,
    )
    row = feature_matrix(RankedUser(activity=activity), items(), now_ms=NOON_MS)[0]
    values = dict(zip(FEATURES, row, strict=True))
    assert [values[f"log_{name}"] for name in ("views_5min", "clicks_5min", "events_1h")] == (
        pytest.approx(np.log1p([1, 2, 3]))
    )
    assert values["log_events_24h"] == pytest.approx(np.log1p(4))
    assert values["log_interactions"] == pytest.approx(np.log1p(5))
    assert values["recency"] == pytest.approx(np.exp(-1))
    assert (values["hour_sin"], values["hour_cos"]) == pytest.approx((0.0, -1.0), abs=1e-6)


@pytest.mark.parametrize(
    ("date", "weekend"),
    [("2026-11-20", 0.0), ("2026-11-21", 1.0), ("2026-11-22", 1.0), ("2026-11-23", 0.0)],
)
def test_weekend(date: str, weekend: float) -> None:
    at_ms = int(np.datetime64(date, "ms").astype(np.int64))
    assert named(feature_matrix(RankedUser(), items(), now_ms=at_ms), "weekend")[0] == weekend


def test_no_items_are_no_rows() -> None:
    nothing = items(
        ids=[],
        vectors=np.zeros((0, 2), np.float32),
        categories=[],
        prices=np.zeros(0),
        popularity=np.zeros(0),
        trending=np.zeros(0, np.float32),
        quality=np.zeros(0, np.float32),
        freshness=np.zeros(0, np.float32),
        beside=np.zeros(0, np.float32),
        from_sources=np.zeros((0, 6), np.bool_),
    )
    assert feature_matrix(RankedUser(), nothing, now_ms=0).shape == (0, len(FEATURES))


def test_a_price_of_nothing_is_no_error() -> None:
    assert np.isfinite(price_affinity(np.array([0.0]), 1.0)).all()
