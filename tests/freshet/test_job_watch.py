"""The watch against a cluster that is data, one turn after another by a clock of the test's."""

# ruff: noqa: ARG002 (the fakes take what the real ones take)

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from freshet import job_watch
from freshet.flink_cluster import Checkpoint, ClusterAway, Job
from freshet.job_submission import JOBS, Submitted
from freshet.job_watch import FIRST_PAUSE_S, MISSED_AFTER_S, JobWatch
from freshet.wanted_jobs import WantedJobs, Wish
from settings import Settings
from stack.jobs import trouble, watch_file
from stack.layout import Layout
from stack.part import StackError

CLUSTER = "127.0.0.1:18081"
RUNNING = Job(
    job_id="a", name="user_state", state="RUNNING", started_ms=1, tasks=2, running_tasks=2
)
CHECKPOINT = Checkpoint(
    number=3,
    path="s3://b/chk-3",
    triggered_ms=1,
    duration_ms=1,
    size_bytes=1,
    tasks=1,
    acknowledged=1,
)


@dataclass
class FakeCluster:
    found: Sequence[Job] | Exception = ()
    address: str = CLUSTER
    directory: str = "file:/c"

    def jobs(self) -> Sequence[Job]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def checkpoint_directory(self) -> str:
        return self.directory

    def last_checkpoint(self, job_id: str) -> Checkpoint:
        return CHECKPOINT


@dataclass
class FakeClient:
    lives: bool = True
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Scene:
    """A watch, what it looks at, and what it started."""

    settings: Settings
    cluster: FakeCluster = field(default_factory=FakeCluster)
    now_s: float = 100.0
    started: list[Wish] = field(default_factory=list)
    together: list[tuple[str, ...]] = field(default_factory=list)
    clients: list["FakeClient"] = field(default_factory=list)
    used: list[object] = field(default_factory=list)
    fails: str = ""
    fails_only: tuple[str, ...] = JOBS

    def __post_init__(self) -> None:
        self.watch = JobWatch(self.settings, clock=lambda: self.now_s)
        self.wishes = WantedJobs(Layout.of(self.settings).jobs, cluster=CLUSTER)

    def start(
        self,
        _: Settings,
        wished: Mapping[str, Wish],
        *,
        say: Callable[[str], None],
        client: object,
    ) -> dict[str, Submitted | StackError]:
        self.started.extend(wished.values())
        self.together.append(tuple(wished))
        self.used.append(client)
        failing = self.fails_only if self.fails else ()
        jobs = {name: replace(RUNNING, name=name) for name in wished if name not in failing}
        if jobs:
            self.cluster.found = [*jobs.values()]
        return {
            name: Submitted(job=jobs[name], found=False) if name in jobs else StackError(self.fails)
            for name in wished
        }

    def client(self, _: Settings) -> "FakeClient":
        self.clients.append(FakeClient())
        return self.clients[-1]

    def turn(self, *, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.watch.turn()

    @property
    def trouble(self) -> str:
        return str(json.loads(watch_file(Layout.of(self.settings)).read_text())["trouble"])


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    cluster = FakeCluster()
    monkeypatch.setattr(job_watch, "FlinkCluster", lambda _: cluster)
    scene = Scene(Settings(data_dir=tmp_path), cluster)
    monkeypatch.setattr(job_watch, "start", scene.start)
    monkeypatch.setattr(job_watch, "client_of", scene.client)
    scene.wishes.keep("user_state", Wish(cluster=CLUSTER, wanted=True))
    return scene


def test_a_job_that_runs_is_left_alone(scene: Scene) -> None:
    scene.cluster.found = [RUNNING]
    scene.turn()
    scene.turn(after_s=60)
    assert (scene.started, scene.trouble) == ([], "")


def test_a_job_that_is_not_wanted_is_left_away(scene: Scene) -> None:
    scene.wishes.keep("user_state", Wish(cluster=CLUSTER, wanted=False))
    scene.turn()
    scene.turn(after_s=60)
    assert scene.started == []


def test_a_wanted_job_that_stays_away_is_started_once(scene: Scene) -> None:
    scene.turn()
    assert (scene.started, scene.trouble) == ([], "user_state is not there")
    scene.turn(after_s=MISSED_AFTER_S - 0.1)
    assert scene.started == []
    scene.turn(after_s=0.1)
    assert scene.started == [Wish(cluster=CLUSTER, wanted=True)]
    scene.turn(after_s=60)
    assert (len(scene.started), scene.trouble) == (1, "")


def test_a_cluster_that_was_away_gets_time_to_restore_its_jobs(scene: Scene) -> None:
    scene.turn()
    scene.cluster.found = ClusterAway("no Flink cluster answers at f:1")
    scene.turn(after_s=60)
    assert scene.trouble == "no Flink cluster answers at f:1"
    scene.cluster.found = []
    scene.turn(after_s=1)
    scene.turn(after_s=MISSED_AFTER_S - 0.1)
    assert scene.started == []
    scene.cluster.found = [replace(RUNNING, state="INITIALIZING", running_tasks=0)]
    scene.turn(after_s=10)
    assert scene.started == []


@pytest.mark.parametrize("state", ["RESTARTING", "CANCELLING", "FAILING", "SUSPENDED"])
def test_a_job_that_is_not_over_is_waited_for(scene: Scene, state: str) -> None:
    scene.cluster.found = [replace(RUNNING, state=state)]
    for _ in range(3):
        scene.turn(after_s=60)
    assert scene.started == []


@pytest.mark.parametrize("state", ["CANCELED", "FINISHED"])
def test_a_job_that_somebody_ended_by_other_means_is_let_go(scene: Scene, state: str) -> None:
    scene.cluster.found = [replace(RUNNING, state=state)]
    scene.turn()
    assert not scene.wishes.of("user_state").wanted
    scene.cluster.found = []
    scene.turn(after_s=60)
    assert scene.started == []


def test_a_failed_job_is_started_again_ever_more_slowly(scene: Scene) -> None:
    scene.cluster.found = [replace(RUNNING, state="FAILED")]
    scene.fails = "no slots"
    scene.turn()
    scene.turn(after_s=MISSED_AFTER_S)
    assert len(scene.started) == 1
    assert scene.trouble == "user_state could not be started: no slots"
    scene.turn(after_s=FIRST_PAUSE_S)
    scene.turn(after_s=FIRST_PAUSE_S)
    assert len(scene.started) == 2
    scene.fails = ""
    scene.turn(after_s=FIRST_PAUSE_S)
    assert (len(scene.started), scene.trouble) == (3, "")


def test_nothing_is_done_while_another_command_works_on_the_job(scene: Scene) -> None:
    scene.turn()
    with scene.wishes.held("user_state"):
        scene.turn(after_s=MISSED_AFTER_S)
        scene.cluster.found = [replace(RUNNING, state="FINISHED")]
        scene.turn(after_s=60)
    assert scene.started == []
    assert scene.wishes.of("user_state").wanted


def test_all_that_is_away_is_started_together(scene: Scene) -> None:
    scene.wishes.keep("item_state", Wish(cluster=CLUSTER, wanted=True))
    scene.turn()
    scene.turn(after_s=MISSED_AFTER_S)
    assert scene.together == [("user_state", "item_state")]
    assert scene.trouble == ""


def test_one_that_cannot_be_started_is_tried_again_alone(scene: Scene) -> None:
    scene.wishes.keep("item_state", Wish(cluster=CLUSTER, wanted=True))
    scene.fails, scene.fails_only = "broken code", ("user_state",)
    scene.turn()
    scene.turn(after_s=MISSED_AFTER_S)
    assert scene.trouble == "user_state could not be started: broken code"
    scene.turn(after_s=FIRST_PAUSE_S)
    assert scene.together == [("user_state", "item_state"), ("user_state",)]


def test_one_that_another_command_works_on_keeps_no_other_away(scene: Scene) -> None:
    scene.wishes.keep("item_state", Wish(cluster=CLUSTER, wanted=True))
    scene.turn()
    with scene.wishes.held("user_state"):
        scene.turn(after_s=MISSED_AFTER_S)
    assert scene.together == [("item_state",)]


def test_a_client_gets_warm_while_the_cluster_is_away(scene: Scene) -> None:
    scene.cluster.found = ClusterAway("away")
    scene.turn()
    scene.turn(after_s=1)
    assert len(scene.clients) == 1
    scene.cluster.found = []
    scene.turn(after_s=1)
    assert not scene.clients[0].closed
    scene.turn(after_s=MISSED_AFTER_S)
    assert scene.used == scene.clients
    assert scene.clients[0].closed


def test_a_client_that_died_is_not_used(scene: Scene) -> None:
    scene.cluster.found = ClusterAway("away")
    scene.turn()
    scene.clients[0].lives = False
    scene.turn()
    assert [one.closed for one in scene.clients] == [True, False]
    scene.clients[1].lives = False
    scene.cluster.found = []
    scene.turn()
    scene.turn(after_s=MISSED_AFTER_S)
    assert scene.used == [None]


def test_a_client_that_is_not_needed_goes(scene: Scene) -> None:
    scene.cluster.found = ClusterAway("away")
    scene.turn()
    scene.cluster.found = [RUNNING]
    scene.turn()
    assert scene.clients[0].closed


def test_without_a_wanted_job_there_is_no_client(scene: Scene) -> None:
    scene.wishes.keep("user_state", Wish(cluster=CLUSTER, wanted=False))
    scene.cluster.found = ClusterAway("away")
    scene.turn()
    assert scene.clients == []


def test_a_client_ends_with_the_watch(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.cluster.found = ClusterAway("away")
    stop = threading.Event()

    def client(settings: Settings) -> FakeClient:
        stop.set()
        return scene.client(settings)

    monkeypatch.setattr(job_watch, "client_of", client)
    scene.watch.run(stop)
    assert scene.clients[0].closed


def test_checkpoints_that_lie_elsewhere_are_remembered(scene: Scene) -> None:
    scene.cluster.found = [RUNNING]
    scene.turn()
    assert scene.wishes.of("user_state").seen is None
    scene.watch._elsewhere = None
    scene.cluster.directory = "s3://b"
    scene.turn()
    assert scene.wishes.of("user_state").seen == "s3://b/chk-3"


def test_the_part_tells_what_the_watch_saw(tmp_path: Path) -> None:
    layout = Layout.of(Settings(data_dir=tmp_path))
    assert trouble(layout, now_ms=0) == "it has not looked yet"
    watch_file(layout).parent.mkdir()
    watch_file(layout).write_text('{"at_ms": 1000, "trouble": "user_state is not there"}')
    assert trouble(layout, now_ms=2_000) == "user_state is not there"
    assert trouble(layout, now_ms=201_000) == "it has not looked for 200 s"
