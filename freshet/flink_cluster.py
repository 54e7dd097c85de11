"""A running Flink cluster, seen through its REST interface."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from stack.health import split_address
from stack.part import StackError

TIMEOUT_S = 10.0
ACTIVE = frozenset({"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING"})
OVER = frozenset({"CANCELED", "FAILED", "FINISHED"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the cluster tells of it."""

    job_id: str
    name: str
    state: str
    started_ms: int
    tasks: int
    running_tasks: int

    @property
    def is_active(self) -> bool:
        """Whether it runs, or is on the way to it."""
        return self.state in ACTIVE

    @property
    def is_over(self) -> bool:
        """Whether it has ended, however that came."""
        return self.state in OVER

    @property
    def is_running(self) -> bool:
        """Whether each of its tasks runs."""
        return self.state == "RUNNING" and self.running_tasks == self.tasks


class ClusterAway(StackError):  # noqa: N818
    """Nobody answers there, or only that the cluster can't work now."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint as the cluster tells of it; one under way has not been acknowledged by all."""

    number: int
    path: str
    triggered_ms: int
    duration_ms: int
    size_bytes: int
    tasks: int
    acknowledged: int


@dataclass(frozen=True, kw_only=True)
class SavepointRequest:
    """What became of a savepoint that was asked for; `path` is empty until it is complete."""

    done: bool
    path: str = ""
    failure: str = ""


class FlinkCluster:
    """The cluster at `host:port`."""

    def __init__(self, address: str) -> None:
        self.address = "{}:{}".format(*split_address(address, default_port=8081))

    def jobs(self) -> Sequence[Job]:
        """The jobs it remembers, the latest first."""
        found = [_job(one) for one in self._ask("GET", "/jobs/overview")["jobs"]]
        return sorted(found, key=lambda job: job.started_ms, reverse=True)

    def active(self, name: str) -> Job | None:
        """The active job of a name."""
        return next((job for job in self.jobs() if job.name == name and job.is_active), None)

    def checkpoint_directory(self) -> str | None:
        """Where the cluster keeps checkpoints, as a URI."""
        config = {one["key"]: one["value"] for one in self._ask("GET", "/jobmanager/config")}
        return config.get("execution.checkpointing.dir") or config.get("state.checkpoints.dir")

    def savepoint_directory(self) -> str | None:
        """Where the cluster keeps savepoints unless told otherwise, as a URI."""
        config = {one["key"]: one["value"] for one in self._ask("GET", "/jobmanager/config")}
        named = "execution.checkpointing.savepoint-dir"
        return config.get(named) or config.get("state.savepoints.dir")

    def start_savepoint(self, job_id: str, directory: str | None) -> str:
        """Ask for a savepoint of a job that goes on; answers the id of the request."""
        body = {"target-directory": directory, "cancel-job": False}
        return str(self._ask("POST", f"/jobs/{job_id}/savepoints", body)["request-id"])

    def stop(self, job_id: str, directory: str | None) -> str:
        """Ask a job to end with a savepoint; answers the id of the request."""
        body = {"targetDirectory": directory, "drain": False}
        return str(self._ask("POST", f"/jobs/{job_id}/stop", body)["request-id"])

    def savepoint(self, job_id: str, request_id: str) -> SavepointRequest:
        """What became of a request for a savepoint."""
        told = self._ask("GET", f"/jobs/{job_id}/savepoints/{request_id}")
        if told["status"]["id"] != "COMPLETED":
            return SavepointRequest(done=False)
        operation = told.get("operation") or {}
        cause = operation.get("failure-cause")
        failure = _without_frames(cause["stack-trace"]) if cause else ""
        return SavepointRequest(done=True, path=operation.get("location") or "", failure=failure)

    def last_checkpoint(self, job_id: str) -> Checkpoint | None:
        """The newest complete checkpoint of a job."""
        found = self._ask("GET", f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
        return _checkpoint(found) if found else None

    def savepoint_under_way(self, job_id: str) -> Checkpoint | None:
        """The savepoint that is being written."""
        history = self._ask("GET", f"/jobs/{job_id}/checkpoints")["history"]
        under_way = (one for one in history if one["status"] == "IN_PROGRESS")
        return next((_checkpoint(one) for one in under_way if one["is_savepoint"]), None)

    def vertices(self, job_id: str) -> Sequence[str]:
        """The ids of a job's chains of operators, the sources first."""
        return [one["id"] for one in self._ask("GET", f"/jobs/{job_id}")["vertices"]]

    def metric_names(self, job_id: str, vertex_id: str) -> Sequence[str]:
        """What a chain of operators measures."""
        told = self._ask("GET", f"/jobs/{job_id}/vertices/{vertex_id}/subtasks/metrics")
        return [one["id"] for one in told]

    def metrics(
        self, job_id: str, vertex_id: str, names: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        """Sum and maximum of measures over the subtasks of a chain, where they are known yet."""
        if not names:
            return {}
        query = urlencode({"get": ",".join(names), "agg": "sum,max"})
        told = self._ask("GET", f"/jobs/{job_id}/vertices/{vertex_id}/subtasks/metrics?{query}")
        return {one["id"]: {"sum": one["sum"], "max": one["max"]} for one in told}

    def free_slots(self) -> int:
        """Slots that no job has taken."""
        return int(self._ask("GET", "/overview")["slots-available"])

    def failure(self, job_id: str) -> str:
        """The first lines of the latest exception of a job, "" where there was none."""
        entries = self._ask("GET", f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return _without_frames(entries[0]["stacktrace"]) if entries else ""

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop; its last checkpoint stays."""
        self._ask("PATCH", f"/jobs/{job_id}?mode=cancel")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        sent = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, sent, {"content-type": "application/json"})
            response = connection.getresponse()
            told = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ClusterAway(
                f"no Flink cluster answers at {self.address} ({error}); start one with "
                "`freshet stack up flink`, or name one in flink.external"
            ) from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            said = told.decode(errors="replace")[:500]
            away = response.status == http.client.SERVICE_UNAVAILABLE
            raise (ClusterAway if away else StackError)(
                f"Flink at {self.address} answered {response.status} to {method} {path}: {said}"
            )
        return json.loads(told or b"{}")


def _without_frames(trace: str) -> str:
    lines = (line for line in trace.splitlines() if not line.startswith("\tat "))
    return "\n".join(lines)[:2_000]


def _checkpoint(one: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        number=one["id"],
        path=one.get("external_path") or "",
        triggered_ms=one["trigger_timestamp"],
        duration_ms=one["end_to_end_duration"],
        size_bytes=one["state_size"],
        tasks=one["num_subtasks"],
        acknowledged=one["num_acknowledged_subtasks"],
    )


def _job(one: dict[str, Any]) -> Job:
    return Job(
        job_id=one["jid"],
        name=one["name"],
        state=one["state"],
        started_ms=one["start-time"],
        tasks=one["tasks"]["total"],
        running_tasks=one["tasks"]["running"],
    )
