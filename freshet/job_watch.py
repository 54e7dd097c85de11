"""Brings wanted jobs back: a JobManager that died has forgotten them.

Each turn compares what is wanted with what the cluster runs. A job is missed only when the cluster
has answered without it for some seconds on end, so that one that restores its jobs by itself isn't
handed them twice, and nothing is done while another command holds the job. What is missed is
submitted together, through a client that gets warm while the cluster is away.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from freshet.flink_cluster import ClusterAway, FlinkCluster, Job
from freshet.job_client import JobClient
from freshet.job_submission import JOBS, Submitted, client_of, start, wishes_of
from freshet.wanted_jobs import Busy, Wish
from settings import Settings
from stack.jobs import watch_file
from stack.layout import Layout
from stack.part import StackError
from stores.errors import StoreError

EVERY_S = 1.0
MISSED_AFTER_S = 3.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Missing:
    """A wanted job that isn't there: since when, and when to try again."""

    since_s: float
    again_s: float
    pause_s: float = FIRST_PAUSE_S
    reason: str = "is not there"


class JobWatch:
    """Looks after the wanted jobs of one cluster."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._cluster = FlinkCluster(settings.flink.rest_address)
        self._wishes = wishes_of(settings)
        self._missing: dict[str, Missing] = {}
        self._file = watch_file(Layout.of(settings))
        self._told = ""
        self._elsewhere: bool | None = None
        self._client: JobClient | None = None

    def run(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        try:
            while not stop.is_set():
                self.turn()
                stop.wait(EVERY_S)
        finally:
            self._let_client_go()

    def turn(self) -> None:
        """Look once, and bring back what has been missed for long enough."""
        try:
            jobs = self._cluster.jobs()
            due = [name for name in JOBS if self._is_due(name, _of(jobs, name))]
            if due:
                self._act(due)
        except ClusterAway as error:
            # What a cluster lacks right after its return says nothing yet.
            self._missing.clear()
            self._have_client()
            self._tell(str(error))
        else:
            if not self._missing:
                self._let_client_go()
            self._tell("; ".join(f"{name} {one.reason}" for name, one in self._missing.items()))

    def _is_due(self, name: str, found: Sequence[Job]) -> bool:
        """Whether something is to be done about a job."""
        wish = self._wishes.of(name)
        if not wish.wanted or any(not job.is_over for job in found):
            self._missing.pop(name, None)
            self._remember_checkpoint(name, wish, found)
            return False
        now_s = self._clock()
        missing = self._missing.setdefault(
            name, Missing(since_s=now_s, again_s=now_s + MISSED_AFTER_S)
        )
        return now_s >= missing.again_s or bool(found)

    def _act(self, due: Iterable[str]) -> None:
        """Bring jobs back together, or let go what somebody ended by Flink's own means."""
        with ExitStack() as locks:
            held = [name for name in due if self._hold(name, locks)]
            jobs = self._cluster.jobs()
            away = [name for name in held if self._is_away(name, _of(jobs, name))]
            if away:
                self._start({name: self._wishes.of(name) for name in away})

    def _hold(self, name: str, locks: ExitStack) -> bool:
        try:
            locks.enter_context(self._wishes.held(name, wait=False))
        except Busy:
            self._missing.pop(name, None)
            return False
        return True

    def _is_away(self, name: str, found: Sequence[Job]) -> bool:
        """Decide by what is there now: another command may have worked on the job until now."""
        wish = self._wishes.of(name)
        if not wish.wanted or any(not job.is_over for job in found):
            self._missing.pop(name, None)
            return False
        if found and found[0].state != "FAILED":
            log.info("%s was %s by somebody: no longer wanted", name, found[0].state.lower())
            self._wishes.keep(name, replace(wish, wanted=False))
            self._missing.pop(name, None)
            return False
        return self._clock() >= self._missing[name].again_s

    def _start(self, wished: Mapping[str, Wish]) -> None:
        for name in wished:
            missed_s = self._clock() - self._missing[name].since_s
            log.warning("%s is wanted and has been away for %.0f s", name, missed_s)
            self._missing[name].reason = "is being started"
        self._tell("; ".join(f"{name} is being started" for name in wished))
        try:
            done = start(self._settings, wished, say=log.info, client=self._living_client())
        except ClusterAway:
            raise
        except (StackError, StoreError) as error:
            done = dict.fromkeys(wished, StackError(str(error)))
        finally:
            # It has read the jobs' code; the next try is to see what is there by then.
            self._let_client_go()
        for name, one in done.items():
            if isinstance(one, Submitted):
                log.info("%s runs again, id %s", name, one.job.job_id)
                del self._missing[name]
            else:
                self._postpone(name, one)

    def _postpone(self, name: str, error: StackError) -> None:
        missing = self._missing[name]
        missing.reason = f"could not be started: {error}"
        missing.again_s = self._clock() + missing.pause_s
        missing.pause_s = min(missing.pause_s * 2, LONGEST_PAUSE_S)
        log.warning("%s %s", name, missing.reason)

    def _have_client(self) -> None:
        """Have a client get warm beside a cluster that comes back, where it will be needed."""
        if any(self._wishes.of(name).wanted for name in JOBS) and not self._living_client():
            self._let_client_go()
            self._client = client_of(self._settings)

    def _living_client(self) -> JobClient | None:
        return self._client if self._client is not None and self._client.lives else None

    def _let_client_go(self) -> None:
        """Its JVM is large: it is there only while something is away."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _remember_checkpoint(self, name: str, wish: Wish, found: Sequence[Job]) -> None:
        """Keep the path of the newest checkpoint, where it can't be listed from here."""
        running = next((job for job in found if job.is_running), None)
        if running is None or not wish.wanted or not self._checkpoints_are_elsewhere():
            return
        newest = self._cluster.last_checkpoint(running.job_id)
        if newest is not None and newest.path and newest.path != wish.seen:
            self._wishes.keep(name, replace(wish, seen=newest.path))

    def _checkpoints_are_elsewhere(self) -> bool:
        if self._elsewhere is None:
            directory = self._cluster.checkpoint_directory() or ""
            self._elsewhere = "://" in directory and not directory.startswith("file:")
        return self._elsewhere

    def _tell(self, trouble: str) -> None:
        """Keep what is wrong for `freshet stack status`."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps({"at_ms": int(time.time() * 1000), "trouble": trouble}))
        draft.replace(self._file)
        if trouble != self._told:
            self._told = trouble
            log.info("%s", trouble or "all wanted jobs are there")


def _of(jobs: Sequence[Job], name: str) -> list[Job]:
    return [job for job in jobs if job.name == name]
