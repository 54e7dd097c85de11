"""Following the file of experiments: what is in force after each thing that can become of it."""

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from serving.experiments import ExperimentsError
from serving.experiments_follower import ExperimentsFollower
from serving.metrics import Metrics
from tests.serving.pretended import NOW_MS, count_of
from tests.serving.test_experiments import CALM, EXPLORE, START_MS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "experiments.toml"
    file.write_text(CALM)
    return file


def follower(file: Path, metrics: Metrics, *, now_ms: int = NOW_MS) -> ExperimentsFollower:
    return ExperimentsFollower(file, metrics=metrics, every_s=0.01, now_ms=lambda: now_ms)


def names(following: ExperimentsFollower) -> list[str]:
    return [one.experiment_id for one in following.current.defined]


def test_a_changed_file_is_taken_over(file: Path) -> None:
    metrics = Metrics()
    following = follower(file, metrics)
    assert (names(following), count_of(metrics, "freshet_experiments")) == (["calm"], 1)
    file.write_text(CALM + EXPLORE)
    with capture_logs() as told:
        following.try_refresh()
        following.try_refresh()
    assert names(following) == ["calm", "explore-more"]
    assert count_of(metrics, "freshet_experiments") == 2
    assert [one["event"] for one in told] == ["the experiments were read again"]


def test_an_invalid_file_changes_nothing_is_told_once_and_can_be_mended(file: Path) -> None:
    metrics = Metrics()
    following = follower(file, metrics)
    file.write_text(CALM.replace("0.25", "2"))
    with capture_logs() as told:
        following.try_refresh()
        following.try_refresh()
    (warning,) = told
    assert warning["event"] == "the experiments stay as they were: the file is no good"
    assert "experiments.calm.traffic = 2: input should be less" in warning["error"]
    assert (names(following), count_of(metrics, "freshet_experiments_refused")) == (["calm"], 1)
    file.write_text(EXPLORE)
    following.try_refresh()
    assert names(following) == ["explore-more"]
    assert count_of(metrics, "freshet_experiments_refused") == 0


def test_a_file_that_is_gone_changes_nothing_until_it_is_back(file: Path) -> None:
    metrics = Metrics()
    following = follower(file, metrics)
    moved = file.rename(file.with_suffix(".old"))
    with capture_logs() as told:
        following.try_refresh()
        following.try_refresh()
    assert [one["error"] for one in told] == [
        f"{file}: can't be read (No such file or directory); check serving.experiments_file"
    ]
    assert (names(following), count_of(metrics, "freshet_experiments_refused")) == (["calm"], 1)
    moved.rename(file)
    following.try_refresh()
    assert count_of(metrics, "freshet_experiments_refused") == 0


def test_a_file_of_the_same_size_is_known_by_its_time(file: Path) -> None:
    following = follower(file, Metrics())
    file.write_text(CALM.replace("calm", "warm"))
    os.utime(file, ns=(0, 1))
    following.try_refresh()
    assert names(following) == ["warm"]


@pytest.mark.parametrize(("now_ms", "warnings"), [(START_MS, 1), (START_MS - 1, 0)])
def test_users_that_move_while_an_experiment_runs_are_told(
    file: Path, now_ms: int, warnings: int
) -> None:
    following = follower(file, Metrics(), now_ms=now_ms)
    file.write_text(CALM + 'salt = "another"\n')
    with capture_logs() as told:
        following.try_refresh()
    found = [one for one in told if one["event"] == "a running experiment is disturbed"]
    assert len(found) == warnings
    assert all("experiment calm places users otherwise" in one["problem"] for one in found)


def test_the_first_file_has_to_be_right(file: Path) -> None:
    file.write_text("[[")
    with pytest.raises(ExperimentsError, match="is not valid TOML"):
        follower(file, Metrics())


async def test_it_follows_for_ever(file: Path) -> None:
    following = follower(file, Metrics())
    running = asyncio.create_task(following.run())
    await asyncio.to_thread(file.write_text, "[[")
    await asyncio.sleep(0.05)
    await asyncio.to_thread(file.write_text, EXPLORE)
    await asyncio.sleep(0.1)
    running.cancel()
    assert names(following) == ["explore-more"]
