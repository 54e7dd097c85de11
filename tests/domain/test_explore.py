import numpy as np

from domain.explore import ExplorationPlan, plan_exploration


def test_the_plan_follows_from_the_seed() -> None:
    assert plan_exploration(rate=0.5, slots=20, seed="a") == plan_exploration(
        rate=0.5, slots=20, seed="a"
    )
    assert plan_exploration(rate=0.5, slots=20, seed="a") != plan_exploration(
        rate=0.5, slots=20, seed="b"
    )


def test_a_plan_of_a_fixed_seed_stays_what_it_was() -> None:
    plan = plan_exploration(rate=0.1, slots=2, seed="request")
    assert [round(coin, 6) for coin in plan.coins] == [0.212844, 0.66685]
    assert len(plan.coins) == len(plan.draws) == len(plan.tickets) == 2
    assert not {*plan.coins} & {*plan.draws} & {*plan.tickets}


def test_rates_at_the_ends() -> None:
    never, always = (plan_exploration(rate=rate, slots=200, seed="x") for rate in (0.0, 1.0))
    assert not any(never.explores(slot) for slot in range(200))
    assert all(always.explores(slot) for slot in range(200))


def test_the_rate_is_kept_over_many_requests() -> None:
    explored = [
        plan_exploration(rate=0.1, slots=20, seed=f"r{number}").explores(slot)
        for number in range(500)
        for slot in range(20)
    ]
    # Ten thousand coins: four standard deviations around one in ten.
    assert abs(np.mean(explored) - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 10_000)


def test_a_coin_on_the_rate_doesnt_explore() -> None:
    assert not ExplorationPlan(rate=0.1, coins=(0.1,), draws=(0.0,), tickets=(0.0,)).explores(0)
