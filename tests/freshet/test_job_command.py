import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from freshet import job_insight, job_savepoints, job_submission
from freshet.__main__ import build
from freshet.flink_cluster import FlinkCluster, Job
from freshet.job_insight import JobInsight
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
INSIGHT = JobInsight(
    job=JOB,
    wanted=True,
    checkpoint_age_s=3.2,
    checkpoint_bytes=2_500_000,
    checkpoint_ms=70,
    read_per_s=12.5,
    behind=4,
    held_back=0.25,
)


ONE_JOB = ("savepoint", "stop", "upgrade")


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("FRESHET_FLINK__REST_PORT", str(port))


def freshet(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["job", *arguments])


@pytest.mark.parametrize("command", ["submit", "cancel", "savepoint", "stop", "upgrade"])
def test_an_unknown_job_is_named_with_those_there_are(command: str) -> None:
    done = freshet(command, "user_stat")
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert "there is no job 'user_stat'; known: user_state, item_state" in said


def test_fresh_and_from_exclude_each_other() -> None:
    done = freshet("submit", "--fresh", "--from", "file:/c")
    assert done.exit_code == 2
    assert "exclude each other" in done.output


@pytest.mark.parametrize(
    "command",
    [["submit"], ["cancel"], ["list"], *([one, "user_state"] for one in ONE_JOB)],
    ids=" ".join,
)
def test_a_cluster_that_is_away_is_told(command: list[str]) -> None:
    with pytest.raises(StackError, match=r"no Flink cluster answers at 127\.0\.0\.1"):
        raise freshet(*command).exception or AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ("user_state", "item_state")),
        (["all"], ("user_state", "item_state")),
        (["item_state"], ("item_state",)),
    ],
)
def test_jobs_are_submitted_together(
    monkeypatch: pytest.MonkeyPatch, names: list[str], expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr(job_submission, "JOBS", ("user_state", "item_state"))
    asked: list[tuple[object, object]] = []

    def submit(_: Settings, names: Sequence[str], *, say: job_submission.Say, **o: object) -> None:
        asked.append((names, o["fresh"]))
        say("user_state: runs, id abc")

    monkeypatch.setattr(job_submission, "submit", submit)
    done = freshet("submit", *names, "--fresh")
    assert asked == [(expected, True)]
    assert done.output == "user_state: runs, id abc\n"


def test_cancel_says_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"user_state": JOB, "item_state": None}
    monkeypatch.setattr(job_submission, "JOBS", tuple(found))
    monkeypatch.setattr(job_submission, "cancel", lambda _, name: found[name])
    assert freshet("cancel").output.splitlines() == [
        "user_state: canceled, id abc",
        "item_state: was not running",
    ]


def test_list_tells_of_each_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlinkCluster, "jobs", lambda _: [JOB])
    monkeypatch.setattr(job_insight, "insight", lambda *_, **__: INSIGHT)
    said = " ".join(freshet("list").output.split())
    assert said == (
        "job state tasks wanted checkpoint reads held back id "
        "user_state RUNNING 1/2 yes 3 s ago, 2.5 MB in 70 ms 12.5/s, 4 behind 25% abc"
    )


def test_list_as_json_tells_all_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlinkCluster, "jobs", lambda _: [JOB])
    monkeypatch.setattr(job_insight, "insight", lambda *_, **__: INSIGHT)
    (told,) = json.loads(freshet("list", "--json").output)
    assert told["job"]["name"] == "user_state"
    assert (told["checkpoint_bytes"], told["behind"], told["held_back"]) == (2_500_000, 4, 0.25)


def test_list_of_none_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlinkCluster, "jobs", lambda _: [])
    assert "freshet job submit" in freshet("list").output


def test_a_savepoint_is_printed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def take(_: Settings, name: str, *, to: str | None, say: Callable[[str], None]) -> str:
        asked.append((name, to))
        say(f"{name}: savepoint complete after 0.4 s")
        return "file:/s/savepoint-1"

    monkeypatch.setattr(job_savepoints, "take", take)
    done = freshet("savepoint", "user_state", "--to", "file:/s")
    assert done.stdout == "file:/s/savepoint-1\n"
    assert "complete after 0.4 s" in done.stderr
    told = freshet("savepoint", "user_state", "--json").stdout
    assert json.loads(told) == {"job": "user_state", "savepoint": "file:/s/savepoint-1"}
    assert asked == [("user_state", "file:/s"), ("user_state", None)]


def test_stop_prints_the_savepoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_savepoints, "stop", lambda *_, **__: "file:/s/savepoint-2")
    assert freshet("stop", "user_state").stdout == "file:/s/savepoint-2\n"


def test_upgrade_says_what_runs_now(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def upgrade(_: Settings, name: str, **options: object) -> Submitted:
        asked.append((name, options["allow_lost_state"]))
        return Submitted(job=JOB, found=False)

    monkeypatch.setattr(job_savepoints, "upgrade", upgrade)
    assert freshet("upgrade", "user_state").output == "user_state: runs, id abc\n"
    freshet("upgrade", "user_state", "--allow-lost-state")
    assert asked == [("user_state", False), ("user_state", True)]
