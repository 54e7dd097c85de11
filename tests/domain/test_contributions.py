"""Parts of a worth: they sum to it, and weights sum to 1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contributions import (
    GROUPS,
    Standing,
    Weighed,
    falls,
    light_falls,
    parts_of,
    standings,
    taken_away,
    weights_of,
)
from domain.explore import plan_exploration
from domain.policies import mixed
from domain.ranking_features import FEATURES
from domain.ranking_prior import prior_network
from domain.rerank import (
    MAX_DISTANCE,
    Shortlist,
    category_cap,
    closeness_among,
    fill_slots,
    relevance_of,
)

shares = st.floats(0, 1)


def shortlist(seed: int, *, count: int = 40) -> Shortlist:
    chance = np.random.default_rng(seed)
    vectors = chance.normal(size=(count, 8)).astype(np.float32)
    return Shortlist(
        relevance=np.sort(chance.random(count).astype(np.float32))[::-1].copy(),
        closeness=closeness_among(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)),
        categories=chance.integers(-1, 4, count),
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weight", [0.0, 0.15, 0.8])
def test_what_stands_where_it_is_best_lacks_nothing(seed: int, weight: float) -> None:
    items, cap = shortlist(seed), category_cap(20)
    plan = plan_exploration(rate=0.4, slots=20, seed=str(seed))
    slots = fill_slots(items, plan, diversity_weight=weight, cap=cap)
    found = list(standings(items, [slot.index for slot in slots], diversity_weight=weight, cap=cap))
    assert [one.lacks > 0 for one in found] == [slot.explored for slot in slots]
    for place, (slot, one) in enumerate(zip(slots, found, strict=True)):
        above = [items.closeness(other.index)[slot.index] for other in slots[:place]]
        nearest = float(max(above, default=1.0))
        assert one.distance == pytest.approx(1.0 - nearest, abs=1e-6)


@given(
    score=shares, promise=shares, freshness=shares, novel=st.booleans(), factor=st.floats(0.5, 2),
    distance=st.floats(0, MAX_DISTANCE), policy_weight=shares, diversity_weight=shares,
)  # fmt: skip
def test_parts_sum_to_the_worth_of_an_item_at_its_place(
    score: float,
    promise: float,
    freshness: float,
    novel: bool,  # noqa: FBT001
    factor: float,
    distance: float,
    policy_weight: float,
    diversity_weight: float,
) -> None:
    engagement = (
        mixed(np.array([score]), np.array([promise]), exploration_weight=policy_weight) * factor
    )
    relevance = relevance_of(
        engagement.astype(np.float32),
        freshness=np.array([freshness], np.float32),
        novel=np.array([novel]),
    )
    worth = (1 - diversity_weight) * relevance[0] + diversity_weight / MAX_DISTANCE * distance
    weighed = Weighed(
        score=score,
        promise=promise,
        factor=factor,
        freshness=freshness,
        novel=novel,
        standing=Standing(distance=distance, lacks=0.0),
    )
    parts = parts_of(weighed, policy_weight=policy_weight, diversity_weight=diversity_weight)
    assert sum(parts.values()) == pytest.approx(worth, abs=1e-5)


names = st.sampled_from(["ranker", "rewards", "mood", "freshness", "novelty", "exploration"])


@given(
    st.dictionaries(names, st.floats(-1, 1)),
    st.dictionaries(st.sampled_from(sorted(GROUPS)), st.floats(0.001, 1)),
)
def test_weights_sum_to_one_and_fall(parts: dict[str, float], seen: dict[str, float]) -> None:
    weights = weights_of(parts, seen)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert list(weights.values()) == sorted(weights.values(), reverse=True)
    assert all(0 < weight <= 1 for weight in weights.values())


def test_what_was_against_an_item_is_no_factor() -> None:
    assert weights_of({"ranker": 0.5, "mood": -0.2}, {}) == {"ranker": 1.0}
    assert weights_of({"mood": -0.2}, {}) == {"ranker": 1.0}


def test_the_rankers_part_goes_to_what_its_score_falls_without() -> None:
    row = np.zeros(len(FEATURES), np.float32)
    row[FEATURES.index("beside_latest")] = 0.5
    row[FEATURES.index("cosine_recent")] = 0.5
    told = falls(prior_network().score(taken_away(row)))
    assert told.keys() == {"neighbour", "similar_items"}
    weights = weights_of({"ranker": 0.8, "freshness": 0.2}, told)
    assert weights["freshness"] == 0.2
    assert weights["neighbour"] + weights["similar_items"] == pytest.approx(0.8)


def test_every_group_is_of_features_that_are_there_and_no_feature_is_in_two() -> None:
    grouped = [name for group in GROUPS.values() for name in group]
    assert set(grouped) <= set(FEATURES)
    assert len(set(grouped)) == len(grouped)


def test_a_light_score_is_popularity_and_newness() -> None:
    assert light_falls(score=0.6, freshness=1.0, trending=False) == pytest.approx(
        {"popularity": 0.3, "freshness": 0.3}
    )
    assert light_falls(score=0.2, freshness=1.0, trending=True) == pytest.approx(
        {"trending": 0.0, "freshness": 0.2}
    )
