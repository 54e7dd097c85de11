"""How the jobs are: their checkpoints, how fast they read, and whether they hold back."""

from dataclasses import dataclass

from freshet.flink_cluster import FlinkCluster, Job

# A metric of a chain's source has the source's name before it.
BEHIND = ".pendingRecords"
READ = "numRecordsOutPerSecond"
HELD_BACK = "backPressuredTimeMsPerSecond"
BUSY = "busyTimeMsPerSecond"


@dataclass(frozen=True, kw_only=True)
class JobInsight:
    """One job; what Flink doesn't know (yet, or because the job is over) is None."""

    job: Job
    wanted: bool
    checkpoint_age_s: float | None = None
    checkpoint_bytes: int | None = None
    checkpoint_ms: int | None = None
    checkpoint_path: str | None = None
    read_per_s: float | None = None
    behind: int | None = None
    held_back: float | None = None
    busy: float | None = None


def insight(cluster: FlinkCluster, job: Job, *, wanted: bool, now_ms: int) -> JobInsight:
    """Ask for what is to be known of a job; `held_back` and `busy` are of its worst subtask."""
    if not job.is_active:
        return JobInsight(job=job, wanted=wanted)
    checkpoint = cluster.last_checkpoint(job.job_id)
    measured = _measured(cluster, job.job_id)
    known = (
        {}
        if checkpoint is None
        else {
            "checkpoint_age_s": round((now_ms - checkpoint.triggered_ms) / 1000, 1),
            "checkpoint_bytes": checkpoint.size_bytes,
            "checkpoint_ms": checkpoint.duration_ms,
            "checkpoint_path": checkpoint.path,
        }
    )
    return JobInsight(job=job, wanted=wanted, **known, **measured)  # type: ignore[arg-type]


def _measured(cluster: FlinkCluster, job_id: str) -> dict[str, float | int]:
    """What the chains of a job measure; the first one reads the log."""
    found: dict[str, float | int] = {}
    for at, vertex in enumerate(cluster.vertices(job_id)):
        names = [READ, HELD_BACK, BUSY]
        if at == 0:
            names += [n for n in cluster.metric_names(job_id, vertex) if n.endswith(BEHIND)]
        told = cluster.metrics(job_id, vertex, names)
        for name, key in ((HELD_BACK, "held_back"), (BUSY, "busy")):
            if name in told:
                found[key] = max(found.get(key, 0.0), round(told[name]["max"] / 1000, 3))
        if at == 0 and READ in told:
            found["read_per_s"] = round(told[READ]["sum"], 1)
        behind = [told[name]["sum"] for name in told if name.endswith(BEHIND)]
        if behind:
            found["behind"] = int(sum(behind))
    return found
