import numpy as np
import pytest

from domain.ranking_features import FEATURES
from domain.ranking_prior import prior_network

HELPS = (
    "beside_latest",
    "cosine_recent",
    "cosine_long_term",
    "cosine_nearest",
    "cosine_last",
    "category_share",
    "trending",
    "price_affinity",
    "log_popularity",
)


def score(**values: float) -> float:
    row = np.zeros((1, len(FEATURES)), np.float32)
    for name, value in values.items():
        row[0, FEATURES.index(name)] = value
    return float(prior_network().score(row)[0])


@pytest.mark.parametrize("name", HELPS)
def test_more_of_a_good_thing_never_hurts(name: str) -> None:
    chance = np.random.default_rng(3)
    rows = chance.random((50, len(FEATURES))).astype(np.float32)
    more = rows.copy()
    more[:, FEATURES.index(name)] += 0.3
    assert (prior_network().score(more) > prior_network().score(rows)).all()


def test_recent_before_long_term_before_trending_before_popular() -> None:
    falling = ("cosine_recent", "beside_latest", "cosine_long_term", "trending")
    one = [score(**{name: 1.0}) for name in falling]
    one.append(score(log_popularity=1.0))
    assert one == sorted(one, reverse=True)
    assert len(set(one)) == 5


def test_what_was_dismissed_falls_below_anything_else_alike() -> None:
    assert score(cosine_recent=1.0, cosine_long_term=1.0, dismissed=1.0) < score(
        cosine_recent=1.0, cosine_long_term=1.0
    )
    assert score(cosine_recent=0.7, dismissed=1.0) < score()


def test_what_is_bought_again_and_again_rises_though_it_was_bought() -> None:
    assert score(purchased=1.0, from_repeat=1.0) > score() > score(purchased=1.0)


def test_scores_are_between_0_and_1_and_tell_good_from_poor() -> None:
    assert 0 < score() < 0.1
    everything = dict.fromkeys(HELPS, 1.0)
    assert 0.95 < score(**everything) <= 1
