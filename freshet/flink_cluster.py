"""A running Flink cluster, seen through its REST interface."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stack.health import split_address
from stack.part import StackError

TIMEOUT_S = 10.0
ACTIVE = frozenset({"INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "RECONCILING"})


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
    def is_running(self) -> bool:
        """Whether each of its tasks runs."""
        return self.state == "RUNNING" and self.running_tasks == self.tasks


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

    def free_slots(self) -> int:
        """Slots that no job has taken."""
        return int(self._ask("GET", "/overview")["slots-available"])

    def failure(self, job_id: str) -> str:
        """The first lines of the latest exception of a job, "" where there was none."""
        entries = self._ask("GET", f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        causes = [line for one in entries[:1] for line in one["stacktrace"].splitlines()]
        return "\n".join(line for line in causes if not line.startswith("\tat "))[:2_000]

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop; its last checkpoint stays."""
        self._ask("PATCH", f"/jobs/{job_id}?mode=cancel")

    def _ask(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StackError(
                f"no Flink cluster answers at {self.address} ({error}); start one with "
                "`freshet stack up flink`, or name one in flink.external"
            ) from error
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            said = body.decode(errors="replace")[:500]
            raise StackError(
                f"Flink at {self.address} answered {response.status} to {method} {path}: {said}"
            )
        return json.loads(body or b"{}")


def _job(one: dict[str, Any]) -> Job:
    return Job(
        job_id=one["jid"],
        name=one["name"],
        state=one["state"],
        started_ms=one["start-time"],
        tasks=one["tasks"]["total"],
        running_tasks=one["tasks"]["running"],
    )
