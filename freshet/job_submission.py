"""Brings our jobs onto a Flink cluster, once each, from where they left off."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from freshet.flink_cluster import ClusterAway, FlinkCluster, Job
from freshet.job_client import JobClient
from freshet.wanted_jobs import WantedJobs, Wish
from settings import Settings
from settings.model import Section
from stack import flink
from stack.health import split_address
from stack.jars import fetch_jars
from stack.layout import ROOT, Layout
from stack.part import StackError
from stores.event_log import topic_states

JOBS = ("user_state", "item_state", "bandit_posteriors", "interaction_lake")
# What a job imports, on the cluster as on this machine.
CODE = ("jobs", "operators", "domain", "stores", "schemas", "settings")
# What it reads beside its code: the emotion classifier.
FILES = ("serving/models/emotion/1/model.onnx",)
POLL_S = 0.25
SLOT_WAIT_S = 20.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job that runs; `found` if it did so already."""

    job: Job
    found: bool
    restored_from: str | None = None


@dataclass(frozen=True, kw_only=True)
class Handed:
    """A job that the cluster has, but whose tasks may not run yet."""

    job_id: str
    found: bool
    restored_from: str | None = None


# A job runs, or why it doesn't; one that doesn't keeps no other from it.
Outcome = Submitted | StackError
Outcomes = dict[str, Outcome]


def submit(
    settings: Settings,
    names: Sequence[str],
    *,
    say: Say,
    restore: str | None = None,
    fresh: bool = False,
    allow_lost_state: bool = False,
    timeout_s: float = 120.0,
) -> dict[str, Submitted]:
    """Have jobs running: one that runs is left alone, others go on from their last checkpoints.

    `restore` names another checkpoint or savepoint; `fresh` reads the log from its beginning;
    `allow_lost_state` drops the state of operators that a job no longer has. From now on the jobs
    are wanted: `freshet job watch` brings them back. Raises what kept jobs from running when all
    have been tried.
    """
    wishes = wishes_of(settings)
    with ExitStack() as locks:
        # Always in this order, so that no two who hold one lock wait for each other's.
        for name in sorted(set(names), key=JOBS.index):
            locks.enter_context(wishes.held(name))
        wished = {name: wishes.of(name) for name in dict.fromkeys(names)}
        if fresh or restore:
            wished = {name: _anew(wish, restore) for name, wish in wished.items()}
        done = start(
            settings, wished, say=say, allow_lost_state=allow_lost_state, timeout_s=timeout_s
        )
    for name, one in done.items():
        if isinstance(one, Submitted):
            say(f"{name}: {'was running already' if one.found else 'runs'}, id {one.job.job_id}")
    return running(done)


def running(outcomes: Outcomes) -> dict[str, Submitted]:
    """The jobs that run, where all do; else what kept the others from it is raised."""
    errors = [str(one) for one in outcomes.values() if isinstance(one, StackError)]
    if errors:
        raise StackError("\n".join(errors))
    return {name: one for name, one in outcomes.items() if isinstance(one, Submitted)}


def start(
    settings: Settings,
    wished: Mapping[str, Wish],
    *,
    say: Say,
    client: JobClient | None = None,
    allow_lost_state: bool = False,
    timeout_s: float = 120.0,
) -> Outcomes:
    """Have jobs running as wished; whoever calls holds their locks, and may have a warm client."""
    wishes, cluster = wishes_of(settings), FlinkCluster(settings.flink.rest_address)
    handed: dict[str, Handed | StackError] = {}
    for job in cluster.jobs():
        if job.is_active and job.name in wished:
            wishes.keep(job.name, replace(wishes.of(job.name), wanted=True))
            handed.setdefault(job.name, Handed(job_id=job.job_id, found=True))
    away = {name: wish for name, wish in wished.items() if name not in handed}
    if away:
        with ExitStack() as ours:
            # It gets warm while topics and slots are looked at.
            client = client or ours.enter_context(client_of(settings))
            _require_topics(settings, tuple(away))
            bring = _Bring(settings, cluster, client, say=say, allow_lost_state=allow_lost_state)
            handed |= bring.all(away)
    done = _wait(cluster, handed, say=say, timeout_s=timeout_s)
    return {name: done[name] for name in wished}


def client_of(settings: Settings) -> JobClient:
    """A client of these settings' cluster."""
    layout = Layout.of(settings)
    if settings.flink.external or not (layout.data / "flink" / "conf").is_dir():
        flink.compose(settings, layout)
    ours = {**flink.client_environment(settings), **environment_of(settings)}
    return JobClient(environ={**os.environ, **ours})


def cancel(settings: Settings, name: str, *, timeout_s: float = 60.0) -> Job | None:
    """Stop a job and wait until it has; None where none of this name runs."""
    wishes, cluster = wishes_of(settings), FlinkCluster(settings.flink.rest_address)
    with wishes.held(name):
        wishes.keep(name, replace(wishes.of(name), wanted=False))
        job = cluster.active(name)
        if job is None:
            return None
        cluster.cancel(job.job_id)
        await_end(cluster, job, timeout_s=timeout_s)
    return job


def await_end(cluster: FlinkCluster, job: Job, *, timeout_s: float) -> None:
    """Wait until a job that was told to end has done so."""
    until = time.monotonic() + timeout_s
    while any(one.job_id == job.job_id for one in cluster.jobs() if not one.is_over):
        if time.monotonic() > until:
            raise StackError(
                f"{job.name} ({job.job_id}) is still there {timeout_s:.0f} s after it was told "
                "to end"
            )
        time.sleep(POLL_S)


def wishes_of(settings: Settings) -> WantedJobs:
    """What is wanted of the jobs of these settings' cluster."""
    cluster = FlinkCluster(settings.flink.rest_address).address
    return WantedJobs(Layout.of(settings).jobs, cluster=cluster)


def restore_point(wish: Wish, *, checkpoints: str | None, stopped: str | None) -> str | None:
    """Where a job goes on from: the newest of its checkpoints, and of savepoints it ended with."""
    found = latest_checkpoint(*filter(None, (checkpoints, stopped)), since_ms=wish.since_ms)
    return found or wish.seen or wish.restore


def stopped_directory(cluster: FlinkCluster, name: str) -> str | None:
    """Where the savepoints lie that a job ended with; a later one replaces every checkpoint."""
    return _under(cluster.savepoint_directory(), f"{name}/stopped")


def latest_checkpoint(*directories: str, since_ms: int = 0) -> str | None:
    """The newest complete checkpoint or savepoint under directories of this machine.

    Elsewhere (an object store) the caller names one.
    """
    found = [path for directory in directories for path in _complete(directory)]
    young = [path for path in found if path.stat().st_mtime_ns >= since_ms * 1_000_000]
    newest = max(young, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest.parent.as_uri() if newest else None


def _complete(directory: str) -> Iterator[Path]:
    """A checkpoint has its metadata last: `JOB/chk-N/_metadata`, or `savepoint-X/_metadata`."""
    if urlsplit(directory).scheme in ("", "file"):
        root = Path(unquote(urlsplit(directory).path))
        yield from root.glob("*/chk-*/_metadata")
        yield from root.glob("savepoint-*/_metadata")


def _under(directory: str | None, name: str) -> str | None:
    return f"{directory.rstrip('/')}/{name}" if directory else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def environment_of(settings: Settings) -> Mapping[str, str]:
    """The settings as the environment of a program that reads them."""
    return dict(_variables(settings, "FRESHET_"))


def _variables(section: Section, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _variables(value, f"{prefix}{name.upper()}__")
        else:
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            yield f"{prefix}{name.upper()}", text


def _anew(wish: Wish, restore: str | None) -> Wish:
    return replace(wish, since_ms=_now_ms(), restore=restore, seen=None)


def _require_topics(settings: Settings, names: Sequence[str]) -> None:
    """A source of a missing topic would start and fail, over and over."""
    kafka = settings.kafka
    states = topic_states(kafka.bootstrap, scale=kafka.partition_scale)
    missing = [state.name for state in states if not state.partitions]
    if missing:
        raise StackError(
            f"{', '.join(names)}: Kafka at {kafka.bootstrap} doesn't have the topics "
            f"{', '.join(missing)}; add them with `freshet topics create`"
        )


@dataclass(frozen=True)
class _Bring:
    """Gives jobs that are away to a cluster, one after the other through one client."""

    settings: Settings
    cluster: FlinkCluster
    client: JobClient
    _: KW_ONLY
    say: Say
    allow_lost_state: bool

    def all(self, away: Mapping[str, Wish]) -> dict[str, Handed | StackError]:
        """What became of each; those go first that find slots."""
        free = self._slots(len(away))
        fitting = free // self.settings.flink.parallelism
        return {
            name: self._try(name, wish) if number < fitting else self._no_slots(name, free)
            for number, (name, wish) in enumerate(away.items())
        }

    def _slots(self, jobs: int) -> int:
        """A TaskManager that has just started may not have offered its slot yet."""
        until = time.monotonic() + SLOT_WAIT_S
        while (free := self.cluster.free_slots()) < jobs * self.settings.flink.parallelism:
            if time.monotonic() > until:
                break
            time.sleep(POLL_S)
        return free

    def _no_slots(self, name: str, free: int) -> StackError:
        return StackError(
            f"{name} needs {self.settings.flink.parallelism} slots of the {free} that are free at "
            f"{self.cluster.address}, and other jobs go before it; "
            "raise flink.taskmanagers, or cancel another job (`freshet job list`)"
        )

    def _try(self, name: str, wish: Wish) -> Handed | StackError:
        try:
            return self._hand_over(name, wish)
        except ClusterAway:
            raise
        except StackError as error:
            return error

    def _hand_over(self, name: str, wish: Wish) -> Handed:
        kept = _under(self.cluster.checkpoint_directory(), name)
        stopped = stopped_directory(self.cluster, name)
        restore = restore_point(wish, checkpoints=kept, stopped=stopped)
        self.say(f"{name}: submitting" + (f", from {restore}" if restore else ""))
        asked = configuration(
            self.settings,
            checkpoints=kept,
            restore=restore,
            allow_lost_state=self.allow_lost_state,
        )
        job_id = self.client.hand_over(name, asked)
        wishes_of(self.settings).keep(name, replace(wish, wanted=True))
        return Handed(job_id=job_id, found=False, restored_from=restore)


def configuration(
    settings: Settings, *, checkpoints: str | None, restore: str | None, allow_lost_state: bool
) -> dict[str, str]:
    """What a job is submitted with, beside the cluster's own file of settings."""
    host, port = split_address(settings.flink.rest_address, default_port=8081)
    return {
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": host,
        "rest.port": str(port),
        "parallelism.default": str(settings.flink.parallelism),
        **({"execution.checkpointing.dir": checkpoints} if checkpoints else {}),
        **_recovery(restore, checkpoints, allow_lost_state=allow_lost_state),
        **(_shipped(Layout.of(settings)) if settings.flink.external else {}),
    }


def _recovery(
    restore: str | None, checkpoints: str | None, *, allow_lost_state: bool
) -> dict[str, str]:
    if not restore:
        return {}
    # The job's own checkpoint is the new job's to delete; what somebody else named is not.
    owned = checkpoints is not None and restore.startswith(checkpoints)
    return {
        "execution.state-recovery.path": restore,
        "execution.state-recovery.claim-mode": "CLAIM" if owned else "NO_CLAIM",
        "execution.state-recovery.ignore-unclaimed-state": str(allow_lost_state).lower(),
    }


def _shipped(layout: Layout) -> dict[str, str]:
    """What a cluster elsewhere doesn't have: our code, the connectors, and PyFlink's jar."""
    jars = [*(fetch_jars(layout.cache) / "flink").glob("*.jar"), *flink.python_jars()]
    return {
        "pipeline.jars": ";".join(jar.as_uri() for jar in jars),
        "python.files": str(_code(layout)),
        "python.executable": "python3",
    }


def _code(layout: Layout) -> Path:
    target = layout.jobs / "code"
    shutil.rmtree(target, ignore_errors=True)
    for package in CODE:
        shutil.copytree(
            ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in FILES:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, target / file)
    return target


def _wait(
    cluster: FlinkCluster, handed: Mapping[str, Handed | StackError], *, say: Say, timeout_s: float
) -> Outcomes:
    """Watch all jobs at once until each runs or won't."""
    until = time.monotonic() + timeout_s
    done: Outcomes = {name: one for name, one in handed.items() if isinstance(one, StackError)}
    told: dict[str, str] = {}
    while True:
        jobs = {job.job_id: job for job in cluster.jobs()}
        late = time.monotonic() > until
        for name, one in handed.items():
            if name not in done and isinstance(one, Handed):
                job = jobs.get(one.job_id)
                _tell(name, job, told, say)
                if job is not None and job.is_running:
                    done[name] = Submitted(
                        job=job, found=one.found, restored_from=one.restored_from
                    )
                elif late or (job is not None and job.is_over):
                    done[name] = StackError(_not_running(cluster, name, job, timeout_s))
        if len(done) == len(handed):
            return done
        time.sleep(POLL_S)


def _tell(name: str, job: Job | None, told: dict[str, str], say: Say) -> None:
    """Say how a job is, when that is new."""
    state = "not there yet" if job is None else f"{job.state.lower()}, {_tasks(job)}"
    if told.get(name) != state:
        told[name] = state
        say(f"{name}: {state}")


def _tasks(job: Job) -> str:
    return f"{job.running_tasks} of {job.tasks} tasks"


def _not_running(cluster: FlinkCluster, name: str, job: Job | None, timeout_s: float) -> str:
    if job is None:
        return f"{name} has not appeared at {cluster.address} within {timeout_s:.0f} s"
    why = cluster.failure(job.job_id) or "no exception is known; see `freshet stack logs flink`"
    return f"{name} is {job.state.lower()} after at most {timeout_s:.0f} s:\n{why}"
