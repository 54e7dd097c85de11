"""From the lake's rows to what an experiment shows."""

import json

import pytest

from domain.experiments import Arm, Experiment
from domain.readout import ArmCounts, ReadoutRules
from serving.experiment_readout import readout_of, tally_of
from stores.errors import StoreUnavailable
from stores.lake.arms import ArmRow

EXPERIMENT = Experiment(
    experiment_id="ranking",
    salt="s",
    layer="page",
    first_bucket=0,
    buckets=10_000,
    arms=(Arm(name="control", weight=0.75), Arm(name="bold", weight=0.25)),
    start_ms=0,
    end_ms=100,
    conversions=frozenset({"like", "click"}),
    rules=ReadoutRules(level=0.01),
)
LEFT_OUT = ArmRow("", 7, 9, 0, 0.0, 0.0)
GONE = ArmRow("gone", 3, 3, 0, 0.0, 0.0)
BOLD = ArmRow("bold", 10_000, 25_000, 1_200, 900.0, 700.0)
CONTROL = ArmRow("control", 30_000, 70_000, 3_000, 2_400.0, 1_800.0)


class Lake:
    """Answers with the same rows, and remembers what it was asked."""

    def __init__(self, *rows: ArmRow) -> None:
        self.rows = rows
        self.asked = ""

    def ask(self, sql: str, form: str) -> str:
        self.asked = f"{form}: {sql}"
        return json.dumps([row._asdict() for row in self.rows])


def test_arms_stand_in_their_order_and_the_others_are_left_out() -> None:
    found = tally_of(EXPERIMENT, [LEFT_OUT, BOLD, CONTROL, GONE])
    assert [arm.arm for arm in found.arms] == ["control", "bold"]
    assert found.arms[1] == ArmCounts(
        arm="bold",
        users=10_000,
        exposures=25_000,
        conversions=1_200,
        value_sum=900.0,
        value_squares=700.0,
    )
    assert found.left_out == 10


def test_an_arm_that_nobody_met_counts_nobody() -> None:
    assert tally_of(EXPERIMENT, [BOLD]).arms[0] == ArmCounts(arm="control", users=0)


def test_a_readout_goes_by_the_experiments_weights_rules_and_conversions() -> None:
    lake = Lake(LEFT_OUT, BOLD, CONTROL)
    found = readout_of(EXPERIMENT, lake)
    assert "experiment_id = 'ranking'" in lake.asked
    assert "IN ('click', 'like')" in lake.asked
    assert not found.readout.ratio.mismatched
    (converted,), (valued,) = found.readout.conversions, found.readout.values
    assert (converted.verdict, converted.level) == ("better", 0.01)
    assert converted.lift is not None
    assert converted.lift.value == pytest.approx(0.2)
    assert valued.difference is not None
    assert valued.difference.value == pytest.approx(0.01)
    assert found.left_out == 7


def test_a_lake_that_is_away_is_not_an_experiment_without_users() -> None:
    class Away:
        def ask(self, sql: str, form: str) -> str:
            raise StoreUnavailable("ClickHouse", f"no {form} of {sql}")

    with pytest.raises(StoreUnavailable):
        readout_of(EXPERIMENT, Away())
