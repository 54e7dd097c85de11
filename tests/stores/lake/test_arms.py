"""The arms of an experiment by SQL, held against what `domain` says of the same messages."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from domain.experiments import Arm, Experiment
from domain.exposures import tally
from schemas.lake import EVENTS, IMPRESSIONS, REWARDS
from schemas.types import BanditUpdate, Exposure, Impression
from stores.lake.arms import ArmRow, arm_rows
from stores.lake.sql import local_sql
from tests.stores.lake.lakes import HOUR, event, impression, message, reward, write

EXPERIMENT = Experiment(
    experiment_id="x",
    salt="x",
    layer="page",
    first_bucket=0,
    buckets=10_000,
    arms=(Arm(name="a", weight=0.5), Arm(name="b", weight=0.5)),
    start_ms=0,
    end_ms=2 * HOUR,
    conversions=frozenset({"purchase", "like"}),
)
ACTIONS = (None, "click", "like", "purchase")


def answers_of(rng: np.random.Generator, *, count: int) -> list[Impression]:
    """Answers to a few users, most of whom stay in an arm; some with an override, some without."""
    found = []
    for number in range(count):
        user = int(rng.integers(60))
        arm = "ab"[user % 2] if user > 3 else "ab"[int(rng.integers(2))]
        met = (
            Exposure(experiment_id="other", arm="b"),
            Exposure(experiment_id="x", arm=arm, forced=4 <= user < 7 and number % 2 == 0),
        )
        found.append(
            Impression(
                request_id=f"r{number}",
                user_id=f"u{user}",
                timestamp_ms=HOUR + number,
                experiments=met[: int(rng.integers(3))],
            )
        )
    return found


def rewards_of(rng: np.random.Generator, answers: list[Impression]) -> list[BanditUpdate]:
    found = []
    for number, answer in enumerate(rng.choice(np.array(answers, object), 200)):
        again = rng.random() < 0.3
        found.append(
            BanditUpdate(
                update_id=f"e{number}",
                item_id="i1",
                context_segment="s",
                reward=float(np.float32(rng.random())),
                timestamp_ms=HOUR + number,
                log_time_ms=HOUR + number,
                user_id=None if number % 17 == 0 else answer.user_id,
                request_id=None if number % 13 == 0 else answer.request_id,
                action=ACTIONS[int(rng.integers(4))],
                previous_reward=float(np.float32(0.1)) if again else None,
            )
        )
    return found


def asked(lake: Path, experiment_id: str = "x") -> list[ArmRow]:
    with local_sql(lake) as local:
        return arm_rows(local, experiment_id, conversions=EXPERIMENT.conversions)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_lake_says_what_the_definition_says(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers = answers_of(rng, count=300)
    rewards = rewards_of(rng, answers)
    write(tmp_path, [message(IMPRESSIONS, one, n) for n, one in enumerate(answers)])
    write(tmp_path, [message(REWARDS, one, n) for n, one in enumerate(rewards)])
    # A job that was begun anew tells everything again.
    write(tmp_path, [message(REWARDS, one, n) for n, one in enumerate(rewards[:50])])
    write(tmp_path, [message(IMPRESSIONS, one, n) for n, one in enumerate(answers[:50])])
    expected = tally(EXPERIMENT, answers, rewards)
    left_out, *rows = asked(tmp_path)
    assert (left_out.arm, left_out.users) == ("", expected.left_out)
    assert expected.left_out >= 4
    for row, counts in zip(rows, expected.arms, strict=True):
        assert row[:4] == (counts.arm, counts.users, counts.exposures, counts.conversions)
        assert row[4:] == pytest.approx((counts.value_sum, counts.value_squares))
        assert counts.conversions > 5


def test_an_experiment_that_nobody_met_has_no_arms(tmp_path: Path) -> None:
    write(tmp_path, [message(IMPRESSIONS, impression("r1", "u1"), 0)])
    write(tmp_path, [message(REWARDS, reward("e1", "u1"), 0)])
    assert asked(tmp_path) == []


def test_a_lake_without_answers_and_rewards_has_no_arms(tmp_path: Path) -> None:
    write(tmp_path, [message(EVENTS, event("e1", "u1"), 0)])
    assert asked(tmp_path) == []


def test_files_from_before_experiments_have_none(tmp_path: Path) -> None:
    write(tmp_path, [message(IMPRESSIONS, impression("r1", "u1"), 0)])
    for path in tmp_path.rglob("part-*.parquet"):
        pq.write_table(pq.read_table(path).drop(["experiments"]), path)
    met = (Exposure(experiment_id="x", arm="a"),)
    new = Impression(request_id="r2", user_id="u2", timestamp_ms=HOUR, experiments=met)
    write(tmp_path, [message(IMPRESSIONS, new, 1)])
    assert asked(tmp_path) == [ArmRow("a", 1, 1, 0, 0.0, 0.0)]


def test_an_id_can_not_leave_its_quotes(tmp_path: Path) -> None:
    met = (Exposure(experiment_id="x", arm="a"),)
    answer = Impression(request_id="r1", user_id="u1", timestamp_ms=HOUR, experiments=met)
    write(tmp_path, [message(IMPRESSIONS, answer, 0)])
    for experiment_id in ("y' OR '1' = '1", "y\\' OR '1' = '1"):
        assert asked(tmp_path, experiment_id) == []
