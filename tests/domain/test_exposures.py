"""Whose exposures and outcomes count in which arm."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from domain.experiments import Arm, Experiment
from domain.exposures import Tally, tally
from domain.readout import ArmCounts
from schemas.types import BanditUpdate, Exposure, Impression

EXPERIMENT = Experiment(
    experiment_id="x",
    salt="x",
    layer="page",
    first_bucket=0,
    buckets=10_000,
    arms=(Arm(name="a", weight=0.5), Arm(name="b", weight=0.5)),
    start_ms=0,
    end_ms=100,
)


def answer(request_id: str, user_id: str, *arms: str, forced: bool = False) -> Impression:
    exposures = tuple(Exposure(experiment_id="x", arm=arm, forced=forced) for arm in arms)
    other = Exposure(experiment_id="other", arm="a")
    return Impression(
        request_id=request_id, user_id=user_id, timestamp_ms=1, experiments=(other, *exposures)
    )


def reward(
    update_id: str, user_id: str | None, request_id: str | None, value: float, **more: Any
) -> BanditUpdate:
    return BanditUpdate(
        update_id=update_id,
        item_id="i1",
        context_segment="s",
        reward=value,
        timestamp_ms=1,
        user_id=user_id,
        request_id=request_id,
        **more,
    )


def counted(answers: Sequence[Impression], rewards: Sequence[BanditUpdate] = ()) -> Tally:
    return tally(EXPERIMENT, answers, rewards)


def test_users_exposures_conversions_and_values_are_counted_by_arm() -> None:
    answers = [answer("r1", "u1", "a"), answer("r2", "u1", "a"), answer("r3", "u2", "a")]
    answers += [answer("r4", "u3", "b"), answer("r5", "u4")]
    rewards = [
        reward("e1", "u1", "r1", 0.25, action="click"),
        reward("e2", "u1", "r1", 1.0, action="purchase", previous_reward=0.25),
        reward("e3", "u1", "r2", 1.0, action="purchase"),
        reward("n1", "u2", "r3", 0.0),
        reward("e4", "u3", "r4", 0.5, action="like"),
    ]
    assert counted(answers, rewards) == Tally(
        arms=(
            ArmCounts(
                arm="a", users=2, exposures=3, conversions=1, value_sum=2.0, value_squares=4.0
            ),
            ArmCounts(
                arm="b", users=1, exposures=1, conversions=0, value_sum=0.5, value_squares=0.25
            ),
        ),
        left_out=0,
    )


def test_what_is_told_twice_counts_once() -> None:
    answers = [answer("r1", "u1", "b")] * 2
    rewards = [reward("e1", "u1", "r1", 1.0, action="purchase")] * 2
    (_, found) = counted(answers, rewards).arms
    assert found == ArmCounts(
        arm="b", users=1, exposures=1, conversions=1, value_sum=1.0, value_squares=1.0
    )


def test_reactions_to_answers_without_the_experiment_do_not_count() -> None:
    answers = [answer("before", "u1"), answer("r1", "u1", "a")]
    rewards = [
        reward("e1", "u1", "before", 1.0, action="purchase"),
        reward("e2", "u1", None, 1.0, action="purchase"),
        reward("e3", None, "r1", 1.0, action="purchase"),
        reward("e4", "u2", "r1", 1.0, action="purchase"),
    ]
    (found, _) = counted(answers, rewards).arms
    assert (found.users, found.conversions, found.value_sum) == (1, 0, 0.0)


def test_users_of_several_arms_of_an_override_or_of_an_arm_that_is_gone_are_left_out() -> None:
    answers = [answer("r1", "u1", "a"), answer("r2", "u1", "b")]
    answers += [answer("r3", "u2", "a", forced=True), answer("r4", "u2", "a")]
    answers += [answer("r5", "u3", "gone"), answer("r6", "u4", "a")]
    found = counted(answers)
    assert [arm.users for arm in found.arms] == [1, 0]
    assert found.left_out == 3


def test_any_of_the_actions_that_convert_does() -> None:
    clicks = replace(EXPERIMENT, conversions=frozenset({"click", "like"}))
    answers = [answer(f"r{n}", f"u{n}", "a") for n in range(3)]
    rewards = [
        reward(f"e{n}", f"u{n}", f"r{n}", 0.5, action=action)
        for n, action in enumerate(("click", "like", "purchase"))
    ]
    assert tally(clicks, answers, rewards).arms[0].conversions == 2
