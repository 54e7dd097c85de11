import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from freshet import job_submission
from freshet.flink_cluster import Job
from freshet.job_submission import (
    cancel,
    environment_of,
    latest_checkpoint,
    submit,
)
from freshet.wanted_jobs import WantedJobs, Wish
from settings import Settings, load_settings
from settings.model import FlinkSettings, RedisSettings
from stack.layout import Layout
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


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str | None]]:
    """The submissions made: where checkpoints go, and from which it goes on."""
    made: list[tuple[str | None, str | None]] = []

    def run(
        _: Settings,
        __: str,
        *,
        checkpoints: str | None,
        restore: str | None,
        allow_lost_state: bool,
    ) -> None:
        made.append((checkpoints, restore))

    monkeypatch.setattr(job_submission, "_run", run)
    monkeypatch.setattr(job_submission, "POLL_S", 0.001)
    monkeypatch.setattr(job_submission, "SLOT_WAIT_S", 0.01)
    _topics(monkeypatch, partitions=1)
    return made


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
    assert submit(settings, "user_state", say=print).found
    assert runs == []


def test_progress_is_told_until_all_tasks_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    half = replace(RUNNING, running_tasks=1)
    _use(monkeypatch, FakeCluster([[], [], [half], [half], [RUNNING]]))
    told: list[str] = []
    done = submit(settings, "user_state", say=told.append)
    assert (done.found, done.job.job_id) == (False, "new")
    assert told == [
        "user_state: submitting",
        "user_state: not there yet",
        "user_state: running, 1 of 2 tasks",
        "user_state: running, 2 of 2 tasks",
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
        submit(settings, "user_state", say=print, fresh=fresh, restore=restore)
        assert runs.pop() == (f"{tmp_path.as_uri()}/user_state", expected)


def wish_of(settings: Settings) -> Wish:
    return WantedJobs(Layout.of(settings).jobs, cluster="flink:8081").of("user_state")


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
    assert submit(settings, "user_state", say=print).restored_from == stopped.as_uri()


def test_a_fresh_start_does_not_find_what_was_before_it_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    _checkpoint(tmp_path / "user_state", "old/chk-9", age_s=50)
    for fresh in (True, False):
        _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
        assert submit(settings, "user_state", say=print, fresh=fresh).restored_from is None
    young = _checkpoint(tmp_path / "user_state", "new/chk-1", age_s=0)
    os.utime(young / "_metadata")
    _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
    assert submit(settings, "user_state", say=print).restored_from == young.as_uri()


def test_what_was_named_counts_until_the_job_has_a_checkpoint_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs, tmp_path: Path
) -> None:
    _checkpoint(tmp_path / "user_state", "old/chk-9", age_s=50)
    for named in ("s3://b/savepoint-1", None):
        _use(monkeypatch, FakeCluster([[], [RUNNING]], directory=tmp_path.as_uri()))
        submit(settings, "user_state", say=print, restore=named)
        assert runs.pop()[1] == "s3://b/savepoint-1"


def test_a_job_is_wanted_from_its_submission_until_it_is_cancelled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    assert not wish_of(settings).wanted
    _use(monkeypatch, FakeCluster([[], [RUNNING]]))
    submit(settings, "user_state", say=print)
    assert wish_of(settings).wanted
    gone = replace(RUNNING, state="CANCELED")
    _use(monkeypatch, FakeCluster([[RUNNING], [gone]]))
    cancel(settings, "user_state")
    assert not wish_of(settings).wanted
    _use(monkeypatch, FakeCluster([[RUNNING]]))
    submit(settings, "user_state", say=print)
    assert wish_of(settings).wanted


def test_a_job_that_was_not_taken_is_not_wanted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StackError("user_state was not taken by Flink")

    monkeypatch.setattr(job_submission, "_run", refuse)
    _use(monkeypatch, FakeCluster([[]]))
    with pytest.raises(StackError, match="not taken"):
        submit(settings, "user_state", say=print)
    assert not wish_of(settings).wanted


@pytest.mark.parametrize("directory", ["s3://bucket/checkpoints", "file:///nowhere/at/all"])
def test_where_nothing_can_be_looked_up_nothing_is_found(directory: str) -> None:
    assert latest_checkpoint(directory) is None


def test_a_job_that_failed_says_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[], [replace(RUNNING, state="FAILED")]]))
    with pytest.raises(StackError, match=r"user_state is failed(.|\n)*why new failed"):
        submit(settings, "user_state", say=print)


def test_a_job_that_never_appears_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[]]))
    with pytest.raises(StackError, match="not appeared at flink:8081 within 0 s"):
        submit(settings, "user_state", say=print, timeout_s=0.01)


def test_too_few_slots_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[]], slots=0))
    with pytest.raises(StackError, match="needs 1 slots and 0 are free"):
        submit(settings, "user_state", say=print)
    assert runs == []


def test_missing_topics_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    _use(monkeypatch, FakeCluster([[]]))
    _topics(monkeypatch, partitions=0)
    with pytest.raises(StackError, match=r"doesn't have: user-events; .*freshet topics create"):
        submit(settings, "user_state", say=print)


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


def test_what_a_client_says_went_wrong_is_told_without_frames() -> None:
    said = "INFO start\n\tat a.b(C.java)\njava.lang.Error: no route\n\tat d.e(F.java)\nbye\n"
    assert job_submission._reason(said) == "java.lang.Error: no route"
    assert job_submission._reason("first\n\nlast\n") == "first\nlast"


@pytest.mark.parametrize(
    ("restore", "mode"),
    [("file:/c/user_state/a/chk-3", "claim"), ("file:/c/savepoints/savepoint-1", "no_claim")],
)
def test_only_the_jobs_own_checkpoint_is_taken_over(restore: str, mode: str) -> None:
    settings = Settings()
    words = list(
        job_submission._arguments(
            settings, Layout.of(settings), "user_state", "file:/c/user_state", restore
        )
    )
    at = words.index("--fromSavepoint")
    assert words[at : at + 4] == ["--fromSavepoint", restore, "--claimMode", mode]
    assert "-Dexecution.checkpointing.dir=file:/c/user_state" in words
