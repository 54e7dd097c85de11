"""Who is in which arm: evenly, for ever the same, and independently where that is promised."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.experiments import (
    BUCKETS,
    Arm,
    Assignment,
    Changes,
    Experiment,
    Experiments,
    arm_of,
    bucket_of,
    changes_of,
    contradictions,
    disturbances,
    posterior_segment,
)

CONTROL = Arm(name="control", weight=0.5)
BOLD = Arm(name="bold", weight=0.5, changes=Changes(exploration_rate=0.3))
USERS = [f"user-{number}" for number in range(20_000)]
RUNNING_MS = 50


def experiment(name: str, **more: Any) -> Experiment:
    whole = Experiment(
        experiment_id=name,
        salt=name,
        layer="page",
        first_bucket=0,
        buckets=BUCKETS,
        arms=(CONTROL, BOLD),
        start_ms=0,
        end_ms=100,
    )
    return replace(whole, **more)


def arms(one: Experiment) -> list[str]:
    return [arm_of(one, user_id).name for user_id in USERS]


def assigned(*defined: Experiment, user_id: str, at_ms: int = RUNNING_MS) -> Mapping[str, str]:
    found = Experiments(defined).assigned(user_id, at_ms=at_ms)
    return {one.experiment_id: one.arm.name for one in found}


def spread(observed: Counter[Any], shares: Mapping[Any, float]) -> float:
    """Pearson's chi-square."""
    total = sum(observed.values())
    expected = {name: share * total for name, share in shares.items()}
    return sum((observed[name] - want) ** 2 / want for name, want in expected.items())


def test_arms_and_buckets_of_fixed_users_stay_what_they_were() -> None:
    one = experiment("ranking")
    names = ["u1", "u2", "u3", "u4", "naïve 你好"]
    assert [arm_of(one, name).name for name in names] == [
        "bold", "bold", "bold", "control", "bold",
    ]  # fmt: skip
    assert [bucket_of(name, layer="page") for name in names] == [9027, 727, 8185, 13, 7694]


def test_buckets_are_even() -> None:
    tenths = Counter(bucket_of(user_id, layer="page") // 1_000 for user_id in USERS)
    # 27.9: what chance exceeds once in a thousand, with nine degrees of freedom.
    assert spread(tenths, dict.fromkeys(range(10), 0.1)) < 27.9


def test_arms_get_their_weights() -> None:
    weights = {"a": 0.2, "b": 0.3, "c": 0.5}
    three = tuple(Arm(name=name, weight=weight) for name, weight in weights.items())
    assert spread(Counter(arms(experiment("x", arms=three))), weights) < 13.8


def test_an_arm_of_no_weight_has_nobody() -> None:
    none = Arm(name="none", weight=0.0)
    for places in ((none, CONTROL, BOLD), (CONTROL, none, BOLD), (CONTROL, BOLD, none)):
        assert set(arms(experiment("x", arms=places))) == {"control", "bold"}


def test_weights_that_miss_one_by_their_digits_still_place_everybody() -> None:
    thirds = tuple(Arm(name=name, weight=0.333333) for name in "abc")
    observed = Counter(arms(experiment("x", arms=thirds)))
    assert spread(observed, dict.fromkeys("abc", 1 / 3)) < 13.8


def test_another_salt_divides_independently() -> None:
    one, other = (np.array(arms(experiment("x", salt=salt))) == "bold" for salt in ("s1", "s2"))
    # Four standard deviations of a correlation of 20,000 pairs.
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(USERS))
    assert (one == (np.array(arms(experiment("y", salt="s1"))) == "bold")).all()


def test_arms_are_independent_of_buckets_and_layers_of_each_other() -> None:
    page, mail = ([bucket_of(one, layer=layer) for one in USERS] for layer in ("page", "mail"))
    bold = np.array(arms(experiment("x", salt="page"))) == "bold"
    limit = 4 / np.sqrt(len(USERS))
    assert abs(np.corrcoef(page, mail)[0, 1]) < limit
    assert abs(np.corrcoef(page, bold)[0, 1]) < limit


def test_a_user_is_in_one_experiment_of_a_layer_at_most() -> None:
    small = experiment("small", buckets=500)
    large = experiment("large", first_bucket=500, buckets=3_000)
    found = Experiments((small, large))
    names = Counter(
        "+".join(one.experiment_id for one in found.assigned(user_id, at_ms=RUNNING_MS))
        for user_id in USERS
    )
    assert set(names) == {"", "small", "large"}
    assert spread(names, {"small": 0.05, "large": 0.3, "": 0.65}) < 13.8


def test_layers_go_by_their_names_and_dont_exclude_each_other() -> None:
    page, mail = experiment("a"), experiment("b", layer="mail")
    assert list(assigned(page, mail, user_id="u1")) == ["b", "a"]


def test_more_traffic_moves_nobody() -> None:
    before, after = experiment("x", buckets=1_000), experiment("x", buckets=4_000)
    were_in = [user_id for user_id in USERS if assigned(before, user_id=user_id)]
    assert 1_800 < len(were_in) < 2_200
    for user_id in were_in:
        assert assigned(after, user_id=user_id) == assigned(before, user_id=user_id)


def test_an_experiment_begins_at_its_start_and_has_ended_at_its_end() -> None:
    one = experiment("x", start_ms=10, end_ms=20)
    running = [at_ms for at_ms in (9, 10, 19, 20) if assigned(one, user_id="u1", at_ms=at_ms)]
    assert running == [10, 19]


def test_an_override_wins_over_chance_and_over_the_rest_of_its_layer() -> None:
    everybody = experiment("everybody", buckets=9_999)
    last = experiment("last", first_bucket=9_999, buckets=1, overrides={"u1": "control"})
    (found,) = Experiments((everybody, last)).assigned("u1", at_ms=RUNNING_MS)
    assert found == Assignment(experiment_id="last", arm=CONTROL, forced=True)
    assert assigned(everybody, last, user_id="u1", at_ms=100) == {}
    assert assigned(everybody, last, user_id="u2") == {"everybody": "bold"}


def test_an_experiment_is_found_by_its_id() -> None:
    found = Experiments((experiment("a"), experiment("b")))
    assert found.named("b") == experiment("b")
    assert found.named("c") is None


def test_changes_of_several_layers_come_together() -> None:
    calm = Arm(name="calm", weight=1, changes=Changes(diversity_weight=0.0))
    both = [Assignment(experiment_id="a", arm=BOLD), Assignment(experiment_id="b", arm=calm)]
    assert changes_of(both) == Changes(exploration_rate=0.3, diversity_weight=0.0)
    assert changes_of([]) == Changes()


def test_only_own_posteriors_have_a_segment_of_their_own() -> None:
    own = Arm(name="own", weight=0.5, posteriors="own")
    shared, learns = (Assignment(experiment_id="x", arm=arm) for arm in (BOLD, own))
    assert posterior_segment("mobile_us_night", [shared]) == "mobile_us_night"
    assert posterior_segment("mobile_us_night", [learns, shared]) == "mobile_us_night~x.own"


def test_ranges_that_overlap_in_place_and_time_are_told() -> None:
    one = experiment("a", buckets=600)
    (told,) = contradictions([one, experiment("b", first_bucket=450, buckets=5_000)])
    assert told == (
        "a and b of layer page both take 4.5 % to 6 % of its users at the same time; "
        "move or shrink one range, or give one another layer"
    )


@pytest.mark.parametrize(
    "more",
    [
        {"first_bucket": 600, "buckets": 1},
        {"start_ms": 100, "end_ms": 200},
        {"layer": "mail", "arms": (CONTROL,)},
    ],
    ids=["beside", "after", "elsewhere"],
)
def test_what_does_not_meet_does_not_contradict(more: dict[str, Any]) -> None:
    assert list(contradictions([experiment("a", buckets=600), experiment("b", **more)])) == []


def test_an_id_may_not_come_back() -> None:
    later = experiment("a", start_ms=100, end_ms=200)
    assert list(contradictions([experiment("a"), later])) == [
        "experiment a is defined twice; give one another id"
    ]


def test_layers_that_change_the_same_are_told() -> None:
    own = Arm(name="own", weight=0.5, posteriors="own", changes=Changes(exploration_rate=0.0))
    mail = experiment("b", layer="mail", arms=(CONTROL, own))
    page = experiment("a", arms=(CONTROL, replace(own, changes=Changes(exploration_rate=0.2))))
    assert list(contradictions([page, mail])) == [
        f"a of layer page and b of layer mail both change {name} at the same time; "
        "put them into one layer"
        for name in ("exploration_rate", "posteriors")
    ]


def test_a_user_with_two_overrides_in_a_layer_is_told() -> None:
    one = experiment("a", buckets=1, overrides={"u1": "bold", "u2": "bold"})
    other = experiment("b", first_bucket=1, buckets=1, overrides={"u2": "control"})
    assert list(contradictions([one, other])) == [
        "a and b of layer page both have an override for 'u2'; a user is in one at most"
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"salt": "other"},
        {"layer": "mail"},
        {"first_bucket": 1},
        {"arms": (CONTROL, replace(BOLD, weight=0.6))},
        {"arms": (BOLD, CONTROL)},
    ],
    ids=["salt", "layer", "range", "weight", "order"],
)
def test_a_running_experiment_that_places_users_otherwise_is_told(more: dict[str, Any]) -> None:
    before, after = Experiments((experiment("x"),)), Experiments((experiment("x", **more),))
    (told,) = disturbances(before, after, at_ms=RUNNING_MS)
    assert told == (
        "experiment x places users otherwise than before; its readout mixes both: "
        "end it, and begin another with an id and a salt of its own"
    )
    assert list(disturbances(before, after, at_ms=100)) == []


def test_what_moves_nobody_disturbs_nothing() -> None:
    calm = replace(BOLD, changes=Changes(policy="thompson"))
    before = Experiments((experiment("x", buckets=500), experiment("gone", layer="mail")))
    after = Experiments((experiment("x", buckets=900, end_ms=80, arms=(CONTROL, calm)),))
    assert list(disturbances(before, after, at_ms=RUNNING_MS)) == []
