from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.explore import ExplorationPlan
from domain.rerank import (
    NO_CATEGORY,
    Shortlist,
    category_cap,
    closeness_among,
    fill_slots,
    relevance_of,
)


def shortlist(count: int, *, seed: int = 0, categories: int = 3) -> Shortlist:
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((count, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Shortlist(
        relevance=np.sort(chance.random(count))[::-1].astype(np.float32),
        closeness=closeness_among(vectors.astype(np.float32)),
        categories=chance.integers(NO_CATEGORY, categories, count),
    )


def plan(
    slots: int,
    *,
    rate: float = 0.0,
    coins: tuple[float, ...] = (),
    draws: tuple[float, ...] = (),
    tickets: tuple[float, ...] = (),
) -> ExplorationPlan:
    return ExplorationPlan(
        rate=rate,
        coins=coins or (1.0,) * slots,
        draws=draws or (0.0,) * slots,
        tickets=tickets or (0.0,) * slots,
    )


def beliefs_of(items: Shortlist) -> list[list[float]]:
    return [items.relevance.tolist()] if items.drawn is None else items.drawn.tolist()


def naive_pick(
    items: Shortlist, taken: list[int], *, weight: float, cap: int, belief: int = 0
) -> tuple[int, list[int]]:
    """The document's algorithm, written as it reads, by one of the beliefs."""
    relevance = beliefs_of(items)[belief]
    left = [i for i in range(len(items.relevance)) if i not in taken]
    of = [items.categories[i] for i in taken]
    within = [
        i for i in left if items.categories[i] == NO_CATEGORY or of.count(items.categories[i]) < cap
    ]
    best, best_value = -1, -np.inf
    for i in within or left:
        distances = [1 - float(items.closeness(j)[i]) for j in taken]
        diversity = min(distances, default=2.0) / 2.0
        value = (1 - weight) * float(relevance[i]) + weight * diversity
        if value > best_value + 1e-6:
            best, best_value = i, value
    return best, within or left


@settings(max_examples=60)
@given(
    count=st.integers(1, 25),
    slots=st.integers(1, 12),
    weight=st.floats(0, 1),
    cap=st.integers(1, 5),
    seed=st.integers(0, 1_000),
)
def test_without_exploration_each_place_is_the_documents_choice(
    count: int, slots: int, weight: float, cap: int, seed: int
) -> None:
    items = shortlist(count, seed=seed)
    filled = fill_slots(items, plan(slots), diversity_weight=weight, cap=cap)
    assert len(filled) == min(count, slots)
    taken: list[int] = []
    for slot in filled:
        expected, _ = naive_pick(items, taken, weight=weight, cap=cap)
        assert slot.index == expected
        assert slot.propensity == 1.0
        assert not slot.explored
        taken.append(slot.index)


def all_lists(
    items: Shortlist, *, slots: int, rate: float, pool_size: int, cap: int, weight: float
) -> dict[tuple[int, ...], float]:
    """Each list that could come out, with its true chance: every way to each place tried."""
    chances: dict[tuple[int, ...], float] = {}

    def go_on(taken: tuple[int, ...], chance: float) -> None:
        if len(taken) == min(slots, len(items.relevance)):
            chances[taken] = chances.get(taken, 0.0) + chance
            return
        beliefs = len(beliefs_of(items))
        for belief in range(beliefs):
            best, eligible = naive_pick(items, list(taken), weight=weight, cap=cap, belief=belief)
            go_on((*taken, best), chance * (1 - rate) / beliefs)
        pool = sorted(eligible)[:pool_size]
        for one in pool:
            go_on((*taken, one), chance * rate / len(pool))

    go_on((), 1.0)
    return chances


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("cap", [1, 10])
@pytest.mark.parametrize("beliefs", [0, 3])
def test_propensities_multiply_to_the_true_chance_of_each_list(
    rate: float, cap: int, beliefs: int
) -> None:
    items = shortlist(5, seed=5)
    if beliefs:
        noise = np.random.default_rng(1).normal(0, 0.3, (beliefs, 5))
        items = replace(items, drawn=(items.relevance + noise).astype(np.float32))
    slots, pool_size, weight = 2, 4, 0.3
    true = all_lists(items, slots=slots, rate=rate, pool_size=pool_size, cap=cap, weight=weight)
    said = {}
    twelfths = [0.05 + step / 12 for step in range(12)]
    for coins in product([0.0, 0.999], repeat=slots):
        for shares in product(twelfths, repeat=slots):
            filled = fill_slots(
                items,
                plan(slots, rate=rate, coins=coins, draws=shares, tickets=shares),
                diversity_weight=weight,
                cap=cap,
                pool_size=pool_size,
            )
            key = tuple(slot.index for slot in filled)
            said[key] = float(np.prod([slot.propensity for slot in filled]))
    possible = {key: chance for key, chance in true.items() if chance > 0}
    assert said.keys() == possible.keys()
    assert said == pytest.approx(possible)
    assert sum(said.values()) == pytest.approx(1.0)


def test_explored_is_what_greed_would_not_have_shown() -> None:
    items = shortlist(5)
    first, second = (
        fill_slots(
            items,
            plan(1, rate=0.5, coins=(0.0,), draws=(draw,)),
            diversity_weight=0.0,
            cap=5,
        )[0]
        for draw in (0.0, 0.99)
    )
    assert (first.index, first.explored) == (0, False)
    assert (second.index, second.explored) == (4, True)
    assert first.propensity == pytest.approx(0.5 + 0.5 / 5)
    assert second.propensity == pytest.approx(0.5 / 5)


def test_a_place_by_a_draw_is_explored_where_it_differs_from_what_is_expected() -> None:
    sure = shortlist(3)
    items = replace(sure, drawn=np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], np.float32))
    by_ticket = [
        fill_slots(items, plan(1, tickets=(ticket,)), diversity_weight=0.0, cap=5)[0]
        for ticket in (0.0, 0.34)
    ]
    assert [(slot.index, slot.explored) for slot in by_ticket] == [(0, False), (1, True)]
    assert [slot.propensity for slot in by_ticket] == pytest.approx([1 / 3, 2 / 3])


def test_the_cap_holds_until_nothing_else_is_left() -> None:
    items = Shortlist(
        relevance=np.array([0.9, 0.8, 0.7, 0.1], np.float32),
        closeness=closeness_among(np.eye(4, dtype=np.float32)),
        categories=np.array([1, 1, 1, 2]),
    )
    filled = fill_slots(items, plan(4), diversity_weight=0.0, cap=2)
    assert [slot.index for slot in filled] == [0, 1, 3, 2]


def test_items_without_a_category_are_not_capped() -> None:
    items = Shortlist(
        relevance=np.array([0.9, 0.8, 0.1], np.float32),
        closeness=closeness_among(np.eye(3, dtype=np.float32)),
        categories=np.array([NO_CATEGORY, NO_CATEGORY, 2]),
    )
    filled = fill_slots(items, plan(3), diversity_weight=0.0, cap=1)
    assert [slot.index for slot in filled] == [0, 1, 2]


def test_no_items_no_slots() -> None:
    assert fill_slots(shortlist(0), plan(3), diversity_weight=0.5, cap=1) == []


def test_relevance_is_mostly_the_score() -> None:
    worth = relevance_of(
        np.array([1.0, 0.0, 0.0], np.float32),
        freshness=np.array([0.0, 1.0, 0.0], np.float32),
        novel=np.array([False, False, True]),
    )
    assert worth == pytest.approx([0.70 / 0.85, 0.10 / 0.85, 0.05 / 0.85])


def test_category_cap_grows_with_the_list() -> None:
    assert [category_cap(count) for count in (1, 20, 24, 100)] == [5, 5, 6, 25]
