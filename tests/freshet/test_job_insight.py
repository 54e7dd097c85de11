# ruff: noqa: ARG002 (the fakes take what the real ones take)

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from freshet.flink_cluster import Checkpoint, FlinkCluster, Job
from freshet.job_insight import JobInsight, insight

JOB = Job(job_id="a", name="user_state", state="RUNNING", started_ms=1, tasks=2, running_tasks=2)
PENDING = "0.Source__messages[1].pendingRecords"


@dataclass
class FakeCluster:
    checkpoint: Checkpoint | None
    measured: dict[str, dict[str, dict[str, float]]]

    def last_checkpoint(self, job_id: str) -> Checkpoint | None:
        return self.checkpoint

    def vertices(self, job_id: str) -> Sequence[str]:
        return list(self.measured)

    def metric_names(self, job_id: str, vertex_id: str) -> Sequence[str]:
        return list(self.measured[vertex_id])

    def metrics(
        self, job_id: str, vertex_id: str, names: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        return {
            name: self.measured[vertex_id][name]
            for name in names
            if name in self.measured[vertex_id]
        }


def look(cluster: FakeCluster, job: Job = JOB) -> JobInsight:
    return insight(cast("FlinkCluster", cluster), job, wanted=True, now_ms=10_000)


def test_rates_are_of_the_source_and_pressure_of_the_worst_subtask() -> None:
    measured = {
        "source": {
            "numRecordsOutPerSecond": {"sum": 120.04, "max": 70.0},
            "backPressuredTimeMsPerSecond": {"sum": 900.0, "max": 500.0},
            "busyTimeMsPerSecond": {"sum": 40.0, "max": 20.0},
            PENDING: {"sum": 17.0, "max": 9.0},
        },
        "operator": {
            "numRecordsOutPerSecond": {"sum": 3.0, "max": 3.0},
            "backPressuredTimeMsPerSecond": {"sum": 0.0, "max": 0.0},
            "busyTimeMsPerSecond": {"sum": 800.0, "max": 800.0},
        },
    }
    checkpoint = Checkpoint(
        number=3,
        path="file:/c/chk-3",
        triggered_ms=7_500,
        duration_ms=60,
        size_bytes=5,
        tasks=2,
        acknowledged=2,
    )
    found = look(FakeCluster(checkpoint, measured))
    assert found == JobInsight(
        job=JOB,
        wanted=True,
        checkpoint_age_s=2.5,
        checkpoint_bytes=5,
        checkpoint_ms=60,
        checkpoint_path="file:/c/chk-3",
        read_per_s=120.0,
        behind=17,
        held_back=0.5,
        busy=0.8,
    )


def test_what_is_not_known_yet_is_left_out() -> None:
    assert look(FakeCluster(None, {"source": {}, "operator": {}})) == JobInsight(
        job=JOB, wanted=True
    )


def test_a_job_that_is_over_is_not_asked() -> None:
    over = replace(JOB, state="CANCELED")
    assert look(FakeCluster(None, {}), over) == JobInsight(job=over, wanted=True)
