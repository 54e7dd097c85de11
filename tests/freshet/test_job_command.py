import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from freshet import job_submission
from freshet.__main__ import build
from freshet.flink_cluster import FlinkCluster, Job
from freshet.job_submission import Submitted
from settings import Settings
from stack.part import StackError

JOB = Job(
    job_id="abc",
    name="user_state",
    state="RUNNING",
    started_ms=1_700_000_000_000,
    tasks=2,
    running_tasks=1,
)


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("FRESHET_FLINK__REST_PORT", str(port))


def freshet(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["job", *arguments])


@pytest.mark.parametrize("command", ["submit", "cancel"])
def test_an_unknown_job_is_named_with_those_there_are(command: str) -> None:
    done = freshet(command, "user_stat")
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "there is no job 'user_stat'; known: user_state, item_state, all" in said


def test_fresh_and_from_exclude_each_other() -> None:
    done = freshet("submit", "--fresh", "--from", "file:/c")
    assert done.exit_code == 2
    assert "exclude each other" in done.output


@pytest.mark.parametrize("command", ["submit", "cancel", "list"])
def test_a_cluster_that_is_away_is_told(command: str) -> None:
    with pytest.raises(StackError, match=r"no Flink cluster answers at 127\.0\.0\.1"):
        raise freshet(command).exception or AssertionError("it did not fail")


@pytest.mark.parametrize("names", [[], ["all"]])
def test_all_jobs_are_submitted_in_turn(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    asked: list[tuple[str, object]] = []

    def submit(_: Settings, name: str, **options: object) -> Submitted:
        asked.append((name, options["fresh"]))
        return Submitted(job=JOB, found=name == "user_state")

    monkeypatch.setattr(job_submission, "submit", submit)
    done = freshet("submit", *names, "--fresh")
    assert asked == [("user_state", True), ("item_state", True)]
    assert done.output.splitlines() == [
        "user_state: was running already, id abc",
        "item_state: runs, id abc",
    ]


def test_cancel_says_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"user_state": JOB, "item_state": None}
    monkeypatch.setattr(job_submission, "cancel", lambda _, name: found[name])
    assert freshet("cancel").output.splitlines() == [
        "user_state: canceled, id abc",
        "item_state: was not running",
    ]


def test_list_tells_of_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlinkCluster, "jobs", lambda _: [JOB])
    said = " ".join(freshet("list").output.split())
    assert said == "user_state RUNNING 1/2 tasks since 2023-11-14T22:13:20+00:00 abc"


def test_list_of_none_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlinkCluster, "jobs", lambda _: [])
    assert "freshet job submit" in freshet("list").output
