import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest
from pydantic import SecretStr

from freshet import job_submission
from freshet.flink_cluster import ClusterAway, Job
from freshet.job_submission import (
    cancel,
    configuration,
    environment_of,
    latest_checkpoint,
    running,
    start,
    submit,
)
from freshet.wanted_jobs import WantedJobs, Wish
from operators.text_emotion import MODEL_FILE
from settings import Settings, load_settings
from settings.model import FlinkSettings, RedisSettings
from stack.layout import ROOT, Layout
from stack.part import StackError
from stores.event_log import TopicState

RUNNING = Job(
    job_id="new", name="user_state", state="RUNNING", started_ms=2, tasks=2, running_tasks=2
)


@dataclass
class FakeCluster:
    """Answers one list of jobs after the other, the last one for ever."""

    answers: list[Sequence[Job]]
    slots: int = 1
    directory: str | None = None
    address: str = "flink:8081"
    savepoints: str | None = None
    canceled: list[str] = field(default_factory=list)

    def jobs(self) -> Sequence[Job]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def active(self, name: str) -> Job | None:
        return next((job for job in self.jobs() if job.name == name and job.is_active), None)

    def free_slots(self) -> int:
        return self.slots

    def checkpoint_directory(self) -> str | None:
        return self.directory

    def savepoint_directory(self) -> str | None:
        return self.savepoints

    def failure(self, job_id: str) -> str:
        return f"why {job_id} failed"

    def cancel(self, job_id: str) -> None:
        self.canceled.append(job_id)


@dataclass
class FakeClient:
    """Hands over to nobody; the id of a job is `new`, or `new-item_state` and so on."""

    taken: list[tuple[str | None, str | None]] = field(default_factory=list)
    refuses: tuple[str, ...] = ()
    opened: int = 0

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def hand_over(self, name: str, configuration: Mapping[str, str]) -> str:
        if name in self.refuses:
            raise StackError(f"{name} was not taken by Flink:\nno room")
        find = configuration.get
        self.taken.append(
            (find("execution.checkpointing.dir"), find("execution.state-recovery.path"))
        )
        return "new" if name == "user_state" else f"new-{name}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str | None]]:
    """The submissions made: where checkpoints go, and from which it goes on."""
    client = FakeClient()
    monkeypatch.setattr(job_submission, "client_of", lambda _: client)
    monkeypatch.setattr(job_submission, "POLL_S", 0.001)
    monkeypatch.setattr(job_submission, "SLOT_WAIT_S", 0.01)
    _topics(monkeypatch, partitions=1)
    return client.taken


def _topics(monkeypatch: pytest.MonkeyPatch, *, partitions: int) -> None:
    state = TopicState(name="user-events", wanted=1, partitions=partitions)
    monkeypatch.setattr(job_submission, "topic_states", lambda _bootstrap, **_: [state])


def _use(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> FakeCluster:
    monkeypatch.setattr(job_submission, "FlinkCluster", lambda _address: cluster)
    return cluster


def _checkpoint(directory: Path, name: str, *, age_s: int) -> Path:
    metadata = directory / name / "_metadata"
    metadata.parent.mkdir(parents=True)
    metadata.touch()
    os.utime(metadata, (1_700_000_000 - age_s,) * 2)
    return metadata.parent


Runs = list[tuple[str | None, str | None]]


def test_a_job_that_runs_is_left_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[RUNNING]]))
    assert submit(settings, ["user_state"], say=print)["user_state"].found
    assert runs == []


def test_progress_is_told_until_all_tasks_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    half = replace(RUNNING, running_tasks=1)
    _use(monkeypatch, FakeCluster([[], [], [half], [half], [RUNNING]]))
    told: list[str] = []
    done = submit(settings, ["user_state"], say=told.append)["user_state"]
    assert (done.found, done.job.job_id) == (False, "new")
    assert told == [
        "user_state: submitting",
        "user_state: not there yet",
        "user_state: running, 1 of 2 tasks",
        "user_state: running, 2 of 2 tasks",
        "user_state: runs, id new",
    ]
    assert runs == [(None, None)]


def test_a_job_goes_on_from_its_newest_checkpoint(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    _checkpoint(tmp_path / "user_state", "old/chk-9", age_s=50)
    newest = _checkpoint(tmp_path / "user_state", "new/chk-2", age_s=10)
    _checkpoint(tmp_path / "item_state", "other/chk-3", age_s=0)
    (tmp_path / "user_state" / "new" / "chk-3").mkdir()
    for fresh, restore, expected in (
        (False, None, newest.as_uri()),
        (True, None, None),
        (False, "s3://b/savepoint-1", "s3://b/savepoint-1"),
    ):
        _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
        submit(settings, ["user_state"], say=print, fresh=fresh, restore=restore)
        assert runs.pop() == (f"{tmp_path.as_uri()}/user_state", expected)


def wish_of(settings: Settings, name: str = "user_state") -> Wish:
    return WantedJobs(Layout.of(settings).jobs, cluster="flink:8081").of(name)


def restored(settings: Settings, *, fresh: bool = False) -> str | None:
    done = submit(settings, ["user_state"], say=print, fresh=fresh)
    return done["user_state"].restored_from


def test_a_job_that_ended_with_a_savepoint_goes_on_from_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    chosen = tmp_path / "savepoints" / "user_state" / "stopped"
    _checkpoint(tmp_path / "checkpoints" / "user_state", "a/chk-1", age_s=9)
    stopped = _checkpoint(chosen, "savepoint-1", age_s=5)
    _checkpoint(chosen.parent, "savepoint-by-hand", age_s=1)
    cluster = FakeCluster(
        [[], [RUNNING]],
        directory=(tmp_path / "checkpoints").as_uri(),
        savepoints=(tmp_path / "savepoints").as_uri(),
    )
    _use(monkeypatch, cluster)
    assert restored(settings) == stopped.as_uri()


def test_a_fresh_start_does_not_find_what_was_before_it_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    _checkpoint(tmp_path / "user_state", "old/chk-9", age_s=50)
    for fresh in (True, False):
        _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
        assert restored(settings, fresh=fresh) is None
    young = _checkpoint(tmp_path / "user_state", "new/chk-1", age_s=0)
    os.utime(young / "_metadata")
    _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
    assert restored(settings) == young.as_uri()


def test_what_was_named_counts_until_the_job_has_a_checkpoint_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    _checkpoint(tmp_path / "user_state", "old/chk-9", age_s=50)
    for named in ("s3://b/savepoint-1", None):
        _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
        submit(settings, ["user_state"], say=print, restore=named)
        assert runs.pop()[1] == "s3://b/savepoint-1"


def test_a_job_is_wanted_from_its_submission_until_it_is_cancelled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    assert not wish_of(settings).wanted
    _use(monkeypatch, FakeCluster([[], [RUNNING]]))
    submit(settings, ["user_state"], say=print)
    assert wish_of(settings).wanted
    gone = replace(RUNNING, state="CANCELED")
    _use(monkeypatch, FakeCluster([[RUNNING], [gone]]))
    cancel(settings, "user_state")
    assert not wish_of(settings).wanted
    _use(monkeypatch, FakeCluster([[RUNNING]]))
    submit(settings, ["user_state"], say=print)
    assert wish_of(settings).wanted


def test_a_job_that_was_not_taken_is_not_wanted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    monkeypatch.setattr(job_submission, "client_of", lambda _: FakeClient(refuses=("user_state",)))
    _use(monkeypatch, FakeCluster([[]]))
    with pytest.raises(StackError, match="not taken"):
        submit(settings, ["user_state"], say=print)
    assert not wish_of(settings).wanted


@pytest.mark.parametrize("directory", ["s3://bucket/checkpoints", "file:///nowhere/at/all"])
def test_where_nothing_can_be_looked_up_nothing_is_found(directory: str) -> None:
    assert latest_checkpoint(directory) is None


def test_a_job_that_failed_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[], [replace(RUNNING, state="FAILED")]]))
    with pytest.raises(StackError, match=r"user_state is failed(.|\n)*why new failed"):
        submit(settings, ["user_state"], say=print)


def test_a_job_that_never_appears_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[]]))
    with pytest.raises(StackError, match="not appeared at flink:8081 within 0 s"):
        submit(settings, ["user_state"], say=print, timeout_s=0.01)


def test_too_few_slots_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[]], slots=0))
    with pytest.raises(StackError, match="needs 1 slots of the 0 that are free"):
        submit(settings, ["user_state"], say=print)
    assert runs == []


def test_missing_topics_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[]]))
    _topics(monkeypatch, partitions=0)
    with pytest.raises(
        StackError, match=r"doesn't have the topics user-events; add .*topics create"
    ):
        submit(settings, ["user_state"], say=print)


def test_cancel_waits_until_the_job_is_gone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    going, gone = replace(RUNNING, state="CANCELLING"), replace(RUNNING, state="CANCELED")
    cluster = _use(monkeypatch, FakeCluster([[RUNNING], [going], [gone]]))
    assert cancel(settings, "user_state") == RUNNING
    assert cluster.canceled == ["new"]
    assert cancel(settings, "user_state") is None


def test_a_job_that_will_not_go_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[RUNNING]]))
    with pytest.raises(StackError, match=r"user_state \(new\) is still there"):
        cancel(settings, "user_state", timeout_s=0.01)


def test_a_job_reads_the_settings_of_who_submits_it() -> None:
    settings = Settings(
        data_dir=Path("/data"),
        redis=RedisSettings(external=SecretStr("redis://:pass@cache:1/0"), port=7),
        flink=FlinkSettings(parallelism=3),
    )
    assert load_settings(environ=environment_of(settings)) == settings


@pytest.mark.parametrize(
    ("restore", "mode"),
    [("file:/c/user_state/a/chk-3", "CLAIM"), ("file:/c/savepoints/savepoint-1", "NO_CLAIM")],
)
def test_only_the_jobs_own_checkpoint_is_taken_over(restore: str, mode: str) -> None:
    asked = configuration(
        Settings(), checkpoints="file:/c/user_state", restore=restore, allow_lost_state=True
    )
    assert asked["execution.state-recovery.path"] == restore
    assert asked["execution.state-recovery.claim-mode"] == mode
    assert asked["execution.state-recovery.ignore-unclaimed-state"] == "true"
    assert asked["execution.checkpointing.dir"] == "file:/c/user_state"


def test_a_job_without_a_checkpoint_is_asked_for_without_one() -> None:
    settings = Settings(flink=FlinkSettings(parallelism=2, rest_port=7))
    asked = configuration(settings, checkpoints=None, restore=None, allow_lost_state=True)
    assert asked == {
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": "127.0.0.1",
        "rest.port": "7",
        "parallelism.default": "2",
    }


def test_what_a_cluster_elsewhere_lacks_goes_with_the_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "flink").mkdir()
    (tmp_path / "flink" / "connector.jar").touch()
    monkeypatch.setattr(job_submission, "fetch_jars", lambda _: tmp_path)
    settings = Settings(data_dir=tmp_path, flink=FlinkSettings(external="flink.example:80"))
    asked = configuration(settings, checkpoints=None, restore=None, allow_lost_state=False)
    assert (asked["rest.address"], asked["rest.port"]) == ("flink.example", "80")
    connector, pyflink = asked["pipeline.jars"].split(";")
    assert connector == (tmp_path / "flink" / "connector.jar").as_uri()
    assert "/flink-python-" in pyflink
    assert Path(asked["python.files"]).exists()


ITEMS = replace(RUNNING, name="item_state", job_id="new-item_state")
BOTH = ("user_state", "item_state")


def test_jobs_are_brought_together_through_one_client(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    client = FakeClient()
    monkeypatch.setattr(job_submission, "client_of", lambda _: client)
    half = replace(ITEMS, running_tasks=1)
    _use(monkeypatch, FakeCluster([[], [half, RUNNING], [ITEMS, RUNNING]], slots=2))
    told: list[str] = []
    done = submit(settings, BOTH, say=told.append)
    assert {name: one.job.job_id for name, one in done.items()} == {
        "user_state": "new",
        "item_state": "new-item_state",
    }
    assert client.opened == 1
    assert told == [
        "user_state: submitting",
        "item_state: submitting",
        "user_state: running, 2 of 2 tasks",
        "item_state: running, 1 of 2 tasks",
        "item_state: running, 2 of 2 tasks",
        "user_state: runs, id new",
        "item_state: runs, id new-item_state",
    ]


def test_a_job_that_is_refused_keeps_no_other_from_running(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    monkeypatch.setattr(job_submission, "client_of", lambda _: FakeClient(refuses=("user_state",)))
    _use(monkeypatch, FakeCluster([[], [ITEMS]], slots=2))
    told: list[str] = []
    with pytest.raises(StackError, match=r"^user_state was not taken by Flink:\nno room$"):
        submit(settings, BOTH, say=told.append)
    assert told[-1] == "item_state: runs, id new-item_state"
    assert not wish_of(settings).wanted
    assert wish_of(settings, "item_state").wanted


def test_a_job_that_fails_keeps_no_other_from_running(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    failed = replace(RUNNING, state="FAILED")
    half = replace(ITEMS, running_tasks=1)
    _use(monkeypatch, FakeCluster([[], [failed, half], [failed, ITEMS]], slots=2))
    wished = {name: wish_of(settings, name) for name in BOTH}
    done = start(settings, wished, say=print)
    assert "why new failed" in str(done["user_state"])
    assert list(done) == list(BOTH)
    with pytest.raises(StackError, match="user_state is failed"):
        running(done)


def test_the_first_jobs_get_the_slots_that_there_are(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[], [RUNNING]], slots=1))
    told: list[str] = []
    with pytest.raises(StackError, match=r"^item_state needs 1 slots of the 1 that are free"):
        submit(settings, BOTH, say=told.append)
    assert told[-1] == "user_state: runs, id new"


def test_a_cluster_elsewhere_gets_the_code_and_the_one_file_that_it_reads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(job_submission, "fetch_jars", lambda _: tmp_path)
    shipped = job_submission._shipped(Layout.of(settings))
    code = Path(shipped["python.files"])
    assert {one.name for one in code.iterdir()} == {*job_submission.CODE, "serving"}
    files = [one for one in (code / "serving").rglob("*") if one.is_file()]
    assert files == [code / MODEL_FILE.relative_to(ROOT)]
    assert files[0].read_bytes() == MODEL_FILE.read_bytes()
    code_again = Path(job_submission._shipped(Layout.of(settings))["python.files"])
    assert code_again == code


def test_the_shipped_code_reads_a_text_by_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(job_submission, "fetch_jars", lambda _: tmp_path)
    code = job_submission._shipped(Layout.of(settings))["python.files"]
    said = (
        "from operators.text_emotion import MODEL_FILE, TextClassifier\n"
        "print(MODEL_FILE, TextClassifier()('so happy').label)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", said],
        env={"PYTHONPATH": code, "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(f"{code}/serving/models/emotion"), done.stderr
    assert done.stdout.split()[-1] == "joy"


def test_only_what_is_away_is_submitted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    old = replace(RUNNING, job_id="old")
    _use(monkeypatch, FakeCluster([[old], [old, ITEMS]]))
    done = submit(settings, BOTH, say=print)
    assert {name: one.found for name, one in done.items()} == {
        "user_state": True,
        "item_state": False,
    }
    assert len(runs) == 1
    assert wish_of(settings).wanted


def test_a_cluster_that_goes_away_meanwhile_is_told_as_such(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    cluster = _use(monkeypatch, FakeCluster([[]], slots=2))

    def away() -> str:
        raise ClusterAway("no Flink cluster answers")

    monkeypatch.setattr(cluster, "checkpoint_directory", away)
    with pytest.raises(ClusterAway):
        submit(settings, BOTH, say=print)
