"""What the readout of an experiment looks like to a client."""

import json

import pytest

from serving.experiment_answers import ExperimentAnswer
from serving.experiment_readout import readout_of
from stores.lake.arms import ArmRow
from tests.serving.test_experiment_readout import BOLD, CONTROL, EXPERIMENT, LEFT_OUT, Lake


def answer(*rows: ArmRow, now_ms: int = 50) -> ExperimentAnswer:
    return ExperimentAnswer.of(readout_of(EXPERIMENT, Lake(*rows)), now_ms=now_ms)


def test_an_answer_says_all_that_was_found() -> None:
    found = answer(LEFT_OUT, CONTROL, BOLD)
    assert (found.experiment_id, found.layer, found.status) == ("ranking", "page", "running")
    assert (found.start, found.end) == ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.100000Z")
    assert found.arms[0].model_dump() == {
        "arm": "control",
        "weight": 0.75,
        "users": 30_000,
        "exposures": 70_000,
        "conversions": 3_000,
        "value_sum": 2_400.0,
    }
    (converted,) = found.conversions
    assert (converted.arm, converted.control, converted.verdict) == ("bold", "control", "better")
    assert converted.lift is not None
    assert 0.05 < converted.lift.low < 0.2 < converted.lift.high < 0.35
    assert converted.p_value < 1e-4
    assert (found.sample_ratio.mismatched, found.sample_ratio.chi_square) == (False, 0.0)
    assert found.left_out == 7


def test_an_experiment_that_nobody_met_is_an_answer_in_plain_json() -> None:
    told = json.loads(answer().model_dump_json())
    assert [arm["users"] for arm in told["arms"]] == [0, 0]
    assert told["values"] == [
        {
            "arm": "bold",
            "control": "control",
            "verdict": "undecided",
            "difference": None,
            "lift": None,
            "p_value": 1.0,
            "level": 0.01,
        }
    ]


@pytest.mark.parametrize(
    ("now_ms", "status"), [(-1, "planned"), (0, "running"), (99, "running"), (100, "ended")]
)
def test_the_status_follows_from_the_time(now_ms: int, status: str) -> None:
    assert answer(now_ms=now_ms).status == status
