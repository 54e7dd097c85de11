"""Brings wanted jobs back: a JobManager that died has forgotten them.

Each turn compares what is wanted with what the cluster runs. A job is missed only when the cluster
has answered without it for some seconds on end, so that one that restores its jobs by itself isn't
handed them twice, and nothing is done while another command holds the job.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from freshet.flink_cluster import ClusterAway, FlinkCluster, Job
from freshet.job_submission import JOBS, start, wishes_of
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

    def run(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        while not stop.is_set():
            self.turn()
            stop.wait(EVERY_S)

    def turn(self) -> None:
        """Look once, and bring back what has been missed for long enough."""
        try:
            jobs = self._cluster.jobs()
            for name in JOBS:
                self._look(name, [job for job in jobs if job.name == name])
        except ClusterAway as error:
            # What a cluster lacks right after its return says nothing yet.
            self._missing.clear()
            self._tell(str(error))
        else:
            self._tell("; ".join(f"{name} {one.reason}" for name, one in self._missing.items()))

    def _look(self, name: str, found: Sequence[Job]) -> None:
        wish = self._wishes.of(name)
        if not wish.wanted or any(not job.is_over for job in found):
            self._missing.pop(name, None)
            self._remember_checkpoint(name, wish, found)
            return
        now_s = self._clock()
        missing = self._missing.setdefault(
            name, Missing(since_s=now_s, again_s=now_s + MISSED_AFTER_S)
        )
        if now_s >= missing.again_s or found:
            self._act(name, missing)

    def _act(self, name: str, missing: Missing) -> None:
        """Bring a job back, or let it go if somebody ended it by Flink's own means."""
        try:
            with self._wishes.held(name, wait=False):
                self._act_held(name, missing)
        except Busy:
            self._missing.pop(name, None)
        except ClusterAway:
            raise
        except (StackError, StoreError) as error:
            missing.reason = f"could not be started: {error}"
            missing.again_s = self._clock() + missing.pause_s
            missing.pause_s = min(missing.pause_s * 2, LONGEST_PAUSE_S)
            log.warning("%s %s", name, missing.reason)

    def _act_held(self, name: str, missing: Missing) -> None:
        """Decide by what is there now: another command may have worked on the job until now."""
        wish = self._wishes.of(name)
        found = [job for job in self._cluster.jobs() if job.name == name]
        if not wish.wanted or any(not job.is_over for job in found):
            self._missing.pop(name, None)
        elif found and found[0].state != "FAILED":
            log.info("%s was %s by somebody: no longer wanted", name, found[0].state.lower())
            self._wishes.keep(name, replace(wish, wanted=False))
            self._missing.pop(name, None)
        elif self._clock() >= missing.again_s:
            self._start(name, wish, missing)

    def _start(self, name: str, wish: Wish, missing: Missing) -> None:
        missed_s = self._clock() - missing.since_s
        log.warning("%s is wanted and has been away for %.0f s", name, missed_s)
        missing.reason = "is being started"
        self._tell(f"{name} is being started")
        done = start(self._settings, name, wish=wish, say=log.info)
        log.info("%s runs again, id %s", name, done.job.job_id)
        self._missing.pop(name, None)

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
