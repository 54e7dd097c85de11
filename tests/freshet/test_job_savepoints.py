# ruff: noqa: ARG002 (the fakes take what the real ones take)

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from freshet import job_savepoints, job_submission
from freshet.flink_cluster import Checkpoint, Job, SavepointRequest
from freshet.job_submission import Submitted
from freshet.wanted_jobs import WantedJobs, Wish
from settings import Settings
from stack.layout import Layout
from stack.part import StackError

JOB = Job(job_id="a", name="user_state", state="RUNNING", started_ms=1, tasks=2, running_tasks=2)
UNDER_WAY = Checkpoint(
    number=1, path="", triggered_ms=0, duration_ms=0, size_bytes=1_500_000, tasks=5, acknowledged=2
)
CLIENT = object()
DONE = SavepointRequest(done=True, path="file:/s/savepoint-1")


@dataclass
class FakeCluster:
    found: Sequence[Job] = (JOB,)
    told: list[SavepointRequest] = field(
        default_factory=lambda: [SavepointRequest(done=False), SavepointRequest(done=False), DONE]
    )
    under_way: list[Checkpoint | None] = field(default_factory=lambda: [None, UNDER_WAY])
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = "flink:8081"

    def active(self, name: str) -> Job | None:
        return next((job for job in self.found if job.name == name and job.is_active), None)

    def jobs(self) -> Sequence[Job]:
        return self.found

    def savepoint_directory(self) -> str:
        return "file:/s/"

    def start_savepoint(self, job_id: str, directory: str | None) -> str:
        self.asked.append(("take", directory))
        return "r"

    def stop(self, job_id: str, directory: str | None) -> str:
        self.asked.append(("stop", directory))
        self.found = [replace(JOB, state="FINISHED")]
        return "r"

    def savepoint(self, job_id: str, request_id: str) -> SavepointRequest:
        return self.told.pop(0)

    def savepoint_under_way(self, job_id: str) -> Checkpoint | None:
        return self.under_way.pop(0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    cluster = FakeCluster()
    for module in (job_savepoints, job_submission):
        monkeypatch.setattr(module, "FlinkCluster", lambda _: cluster)
        monkeypatch.setattr(module, "POLL_S", 0.001)
    monkeypatch.setattr(job_savepoints, "client_of", lambda _: nullcontext(CLIENT))
    return cluster


def wishes(settings: Settings) -> WantedJobs:
    return WantedJobs(Layout.of(settings).jobs, cluster="flink:8081")


def test_progress_is_told_until_the_savepoint_is_complete(
    settings: Settings, cluster: FakeCluster
) -> None:
    said: list[str] = []
    assert job_savepoints.take(settings, "user_state", say=said.append) == DONE.path
    assert cluster.asked == [("take", "file:/s/user_state")]
    assert said[:2] == [
        "user_state: savepoint asked for",
        "user_state: savepoint, 2 of 5 tasks, 1.5 MB",
    ]
    assert said[2].startswith("user_state: savepoint complete after ")


def test_a_savepoint_goes_where_it_is_wanted(settings: Settings, cluster: FakeCluster) -> None:
    job_savepoints.take(settings, "user_state", to="s3://b", say=print)
    assert cluster.asked == [("take", "s3://b")]


def test_a_savepoint_that_failed_says_why(settings: Settings, cluster: FakeCluster) -> None:
    cluster.told = [SavepointRequest(done=True, failure="disk full")]
    with pytest.raises(StackError, match=r"no savepoint of user_state:\ndisk full"):
        job_savepoints.take(settings, "user_state", say=print)


def test_a_savepoint_that_takes_too_long_is_told(
    settings: Settings, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_savepoints, "TIMEOUT_S", 0.0)
    with pytest.raises(StackError, match=r"after 0 s \(savepoint asked for\)"):
        job_savepoints.take(settings, "user_state", say=print)


def test_a_job_that_does_not_run_is_named(settings: Settings, cluster: FakeCluster) -> None:
    with pytest.raises(StackError, match="item_state isn't running at flink:8081; `freshet job"):
        job_savepoints.stop(settings, "item_state", say=print)


def test_a_stopped_job_is_not_wanted_any_more(settings: Settings, cluster: FakeCluster) -> None:
    wishes(settings).keep("user_state", Wish(cluster="flink:8081", wanted=True))
    assert job_savepoints.stop(settings, "user_state", say=print) == DONE.path
    assert cluster.asked == [("stop", "file:/s/user_state/stopped")]
    assert not wishes(settings).of("user_state").wanted


def test_an_upgrade_starts_from_what_the_job_ended_with(
    settings: Settings, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Mapping[str, Wish], bool]] = []

    def start(
        _: Settings,
        wished: Mapping[str, Wish],
        *,
        say: object,
        client: object,
        allow_lost_state: bool,
    ) -> object:
        assert client is CLIENT
        started.append((wished, allow_lost_state))
        return {"user_state": Submitted(job=JOB, found=False)}

    monkeypatch.setattr(job_savepoints, "start", start)
    job_savepoints.upgrade(settings, "user_state", say=print, allow_lost_state=True)
    wish = Wish(cluster="flink:8081", wanted=True, seen=DONE.path)
    assert started == [({"user_state": wish}, True)]


def test_an_upgrade_to_code_that_does_not_start_says_where_the_state_is(
    settings: Settings, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> object:
        return {"user_state": StackError("user_state was not taken by Flink")}

    monkeypatch.setattr(job_savepoints, "start", start)
    with pytest.raises(StackError, match=r"not taken by Flink\n.*in file:/s/savepoint-1; with"):
        job_savepoints.upgrade(settings, "user_state", say=print)
    assert wishes(settings).of("user_state").wanted
