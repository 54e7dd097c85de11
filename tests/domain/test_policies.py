"""Policies are checked together, and their regret against the bounds that are known for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bandit import BanditRules, Posterior, alpha_beta, learn
from domain.policies import (
    POLICIES,
    Arms,
    ContextualThompson,
    EpsilonGreedy,
    Floats,
    Policy,
    Thompson,
    UpperBound,
    explores,
    mixed,
    scores,
)
from domain.segments import CONTEXT_DIM
from schemas.types import BanditUpdate

parameters = st.lists(
    st.tuples(st.floats(0.1, 1e6), st.floats(0.1, 1e6)), min_size=1, max_size=8
).map(np.array)


def arms_of(known: Floats, *, seed: int | None = None) -> Arms:
    """Items with these alphas and betas; with a seed, in some context."""
    if seed is None:
        return Arms(alpha=known[:, 0], beta=known[:, 1])
    rng = np.random.default_rng(seed)
    return Arms(
        alpha=known[:, 0],
        beta=known[:, 1],
        weights=rng.normal(0, 100, (len(known), CONTEXT_DIM)).astype(np.float32),
        features=rng.uniform(-1, 1, CONTEXT_DIM).astype(np.float32),
    )


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@given(known=parameters, seed=st.none() | st.integers(0, 99), chance=st.integers(0, 99))
def test_every_policy_scores_from_0_to_1_and_the_same_by_the_same_chance(
    policy: Policy, known: Floats, seed: int | None, chance: int
) -> None:
    arms = arms_of(known, seed=seed)
    drawn = scores(policy, arms, rng=np.random.default_rng(chance))
    assert drawn.shape == (len(known),)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    again = scores(policy, arms, rng=np.random.default_rng(chance))
    assert (drawn == again).all()
    assert (arms.alpha == known[:, 0]).all()


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_every_policy_prefers_what_is_better_for_certain(policy: Policy) -> None:
    arms = arms_of(np.array([[3e5, 7e5], [6e5, 4e5], [1e5, 9e5]]))
    rng = np.random.default_rng(1)
    best = [int(scores(policy, arms, rng=rng).argmax()) for _ in range(200)]
    share = best.count(1) / len(best)
    # Epsilon-greedy shows something else in 2 of 3 times that its coin falls.
    assert share == 1.0 if not isinstance(policy, EpsilonGreedy) else 0.88 < share < 1.0


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_each_of_many_draws_is_as_if_it_were_the_only_one(policy: Policy) -> None:
    arms = arms_of(np.array([[30.0, 70.0], [6.0, 4.0]]), seed=5)
    many = policy.draws(arms, count=4_000, rng=np.random.default_rng(6))
    rng = np.random.default_rng(7)
    one_by_one = np.array([scores(policy, arms, rng=rng) for _ in range(4_000)])
    assert many.shape == one_by_one.shape
    assert many.mean(axis=0) == pytest.approx(one_by_one.mean(axis=0), abs=0.02)
    assert many.std(axis=0) == pytest.approx(one_by_one.std(axis=0), abs=0.02)


@pytest.mark.parametrize("policy", [Thompson(), ContextualThompson(), UpperBound()])
def test_what_is_uncertain_is_tried_though_its_mean_is_lower(policy: Policy) -> None:
    arms = arms_of(np.array([[500.0, 500.0], [1.0, 1.5]]))
    rng = np.random.default_rng(2)
    tried = sum(int(scores(policy, arms, rng=rng).argmax()) for _ in range(300))
    assert tried > 60


def test_the_context_moves_a_draw_by_a_tenth_at_most() -> None:
    arms = arms_of(np.array([[5.0, 5.0]] * 50), seed=3)
    plain = scores(Thompson(), arms, rng=np.random.default_rng(4))
    moved = scores(ContextualThompson(), arms, rng=np.random.default_rng(4))
    assert np.abs(moved - plain).max() < 0.1 + 1e-12
    assert np.abs(moved - plain).max() > 0.09


def test_final_scores_are_the_documents() -> None:
    base, sampled = np.array([0.2, 0.9]), np.array([0.8, 0.1])
    assert mixed(base, sampled) == pytest.approx([0.7 * 0.2 + 0.3 * 0.8, 0.7 * 0.9 + 0.3 * 0.1])
    assert mixed(base, sampled, exploration_weight=0.0) == pytest.approx(base)
    assert explores(base, sampled).tolist() == [True, False]


@dataclass
class Shop:
    """Items that are tried over and over; each try is learned from as the job does it."""

    items: int
    rules: BanditRules
    context: Callable[[int], tuple[float, ...]] = lambda _: ()

    def __post_init__(self) -> None:
        self.posteriors = [Posterior() for _ in range(self.items)]

    def arms(self, features: tuple[float, ...]) -> Arms:
        known = np.array([alpha_beta(one, self.rules) for one in self.posteriors])
        if not features:
            return arms_of(known)
        nothing = np.zeros(CONTEXT_DIM, np.float32)
        weights = [one.model.weights if one.model else nothing for one in self.posteriors]
        return Arms(
            alpha=known[:, 0],
            beta=known[:, 1],
            weights=np.stack(weights),
            features=np.array(features, np.float32),
        )

    def learn(self, chosen: int, reward: float, at: int, features: tuple[float, ...]) -> None:
        update = BanditUpdate(
            update_id=str(at),
            item_id=str(chosen),
            context_segment="s",
            reward=reward,
            timestamp_ms=at,
            context_features=features,
        )
        learn(self.posteriors[chosen], update, rules=self.rules)


def regret(
    policy: Policy,
    chances: Callable[[int], Sequence[float]],
    *,
    rounds: int,
    seed: int,
    rules: BanditRules | None = None,
    context: Callable[[int], tuple[float, ...]] = lambda _: (),
) -> Floats:
    """What was missed up to each round, by the chances that nobody knows."""
    rng = np.random.default_rng(seed)
    shop = Shop(len(chances(0)), rules or BanditRules(dedup_ids=0))
    missed = np.empty(rounds)
    for at in range(rounds):
        features, likely = context(at), chances(at)
        chosen = int(scores(policy, shop.arms(features), rng=rng).argmax())
        shop.learn(chosen, float(rng.random() < likely[chosen]), at, features)
        missed[at] = max(likely) - likely[chosen]
    return np.cumsum(missed)


CHANCES = (0.5, 0.35, 0.2, 0.1)
ROUNDS = 4_000


def steady(_: int) -> Sequence[float]:
    return CHANCES


def divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of two coins."""
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def mean_regret(policy: Policy, seeds: int = 3) -> Floats:
    runs = [regret(policy, steady, rounds=ROUNDS, seed=n) for n in range(seeds)]
    return np.asarray(np.mean(runs, axis=0))


def test_thompsons_regret_is_near_what_no_policy_can_undercut() -> None:
    """Lai and Robbins: at least the sum of gap / divergence, times log T, in the long run."""
    best = CHANCES[0]
    slope = sum((best - one) / divergence(one, best) for one in CHANCES[1:])
    missed = mean_regret(Thompson())
    assert missed[-1] < 2 * slope * log(ROUNDS)
    assert_slows_down(missed)


def test_the_upper_bounds_regret_stays_below_auers_bound() -> None:
    """Auer et al. 2002, theorem 1: 8 log T / gap, and (1 + pi² / 3) times the gaps."""
    gaps = [CHANCES[0] - one for one in CHANCES[1:]]
    bound = sum(8 * log(ROUNDS) / gap for gap in gaps) + (1 + np.pi**2 / 3) * sum(gaps)
    missed = mean_regret(UpperBound(), seeds=2)
    assert missed[-1] < bound
    assert_slows_down(missed)


def assert_slows_down(missed: Floats) -> None:
    """Logarithmic: the second half misses little, and far less than the first."""
    half, whole = missed[ROUNDS // 2 - 1], missed[-1]
    assert whole - half < 0.4 * half


def test_epsilon_greedys_regret_never_stops_growing() -> None:
    epsilon = 0.1
    missed = mean_regret(EpsilonGreedy(epsilon=epsilon), seeds=4)
    mean_gap = sum(CHANCES[0] - one for one in CHANCES) / len(CHANCES)
    slope = (missed[-1] - missed[ROUNDS // 2 - 1]) / (ROUNDS / 2)
    assert slope == pytest.approx(epsilon * mean_gap, rel=0.25)
    thompson = mean_regret(Thompson(), seeds=2)
    late = slice(ROUNDS // 2, None)
    assert np.diff(thompson[late]).mean() < slope / 2


def test_the_context_wins_where_it_matters() -> None:
    """Two items, each liked in one of two situations: alone their means are the same."""
    situations = np.zeros((2, CONTEXT_DIM))
    situations[:, 0] = 1.0
    situations[0, 1:6], situations[1, 1:6] = 1.0, -1.0
    order = np.random.default_rng(0).integers(0, 2, 3_000)

    def context(at: int) -> tuple[float, ...]:
        return tuple(situations[order[at]].tolist())

    def chances(at: int) -> Sequence[float]:
        return (0.7, 0.3) if order[at] == 0 else (0.3, 0.7)

    plain, contextual = (
        regret(policy, chances, rounds=3_000, seed=5, context=context)[-1]
        for policy in (Thompson(), ContextualThompson())
    )
    assert contextual < 0.5 * plain
    assert plain == pytest.approx(3_000 * 0.2, rel=0.2)


def test_forgetting_wins_where_tastes_drift() -> None:
    """The best item becomes the worst half-way; who never forgets goes on believing in it."""
    rounds = 4_000

    def chances(at: int) -> Sequence[float]:
        return (0.6, 0.4, 0.2) if at < rounds // 2 else (0.2, 0.4, 0.6)

    forgets = BanditRules(half_life_ms=300, dedup_ids=0)
    lasting, fading = (
        np.mean(
            [regret(Thompson(), chances, rounds=rounds, seed=n, rules=rules)[-1] for n in range(2)]
        )
        for rules in (BanditRules(dedup_ids=0), forgets)
    )
    assert fading < 0.6 * lasting
