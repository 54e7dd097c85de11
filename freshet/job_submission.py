"""Brings our jobs onto a Flink cluster, once each, from where they left off."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from freshet.flink_cluster import FlinkCluster, Job
from freshet.wanted_jobs import WantedJobs, Wish
from settings import Settings
from settings.model import Section
from stack import flink
from stack.jars import fetch_jars
from stack.layout import ROOT, Layout
from stack.part import StackError
from stores.event_log import topic_states

JOBS = ("user_state", "item_state", "bandit_posteriors", "interaction_lake")
# What a job imports, on the cluster as on this machine.
CODE = ("jobs", "operators", "domain", "stores", "schemas", "settings")
POLL_S = 0.25
SLOT_WAIT_S = 20.0
FAILURES_SHOWN = 12

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A job that runs; `found` if it did so already."""

    job: Job
    found: bool
    restored_from: str | None = None


def submit(
    settings: Settings,
    name: str,
    *,
    say: Say,
    restore: str | None = None,
    fresh: bool = False,
    allow_lost_state: bool = False,
    timeout_s: float = 120.0,
) -> Submitted:
    """Have the job running: one that runs is left alone, else it goes on from its last checkpoint.

    `restore` names another checkpoint or savepoint; `fresh` reads the log from its beginning;
    `allow_lost_state` drops the state of operators that the job no longer has. From now on the job
    is wanted: `freshet job watch` brings it back.
    """
    wishes = wishes_of(settings)
    with wishes.held(name):
        wish = wishes.of(name)
        if fresh or restore:
            wish = replace(wish, since_ms=_now_ms(), restore=restore, seen=None)
        return start(
            settings,
            name,
            wish=wish,
            say=say,
            allow_lost_state=allow_lost_state,
            timeout_s=timeout_s,
        )


def start(
    settings: Settings,
    name: str,
    *,
    wish: Wish,
    say: Say,
    allow_lost_state: bool = False,
    timeout_s: float = 120.0,
) -> Submitted:
    """Have the job running as wished; whoever calls holds its lock."""
    wishes, cluster = wishes_of(settings), FlinkCluster(settings.flink.rest_address)
    if cluster.active(name) is not None:
        wishes.keep(name, replace(wishes.of(name), wanted=True))
        return Submitted(job=_wait(cluster, name, say=say, timeout_s=timeout_s), found=True)
    _require_topics(settings, name)
    _await_slots(cluster, settings, name, SLOT_WAIT_S)
    kept = _under(cluster.checkpoint_directory(), name)
    restore = restore_point(wish, checkpoints=kept, stopped=stopped_directory(cluster, name))
    say(f"{name}: submitting" + (f", from {restore}" if restore else ""))
    _run(settings, name, checkpoints=kept, restore=restore, allow_lost_state=allow_lost_state)
    wishes.keep(name, replace(wish, wanted=True))
    job = _wait(cluster, name, say=say, timeout_s=timeout_s)
    return Submitted(job=job, found=False, restored_from=restore)


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


def _require_topics(settings: Settings, name: str) -> None:
    """A source of a missing topic would start and fail, over and over."""
    kafka = settings.kafka
    states = topic_states(kafka.bootstrap, scale=kafka.partition_scale)
    missing = [state.name for state in states if not state.partitions]
    if missing:
        raise StackError(
            f"{name} needs topics that Kafka at {kafka.bootstrap} doesn't have: "
            f"{', '.join(missing)}; add them with `freshet topics create`"
        )


def _await_slots(cluster: FlinkCluster, settings: Settings, name: str, timeout_s: float) -> None:
    """A TaskManager that has just started may not have offered its slot yet."""
    wanted, until = settings.flink.parallelism, time.monotonic() + timeout_s
    while (free := cluster.free_slots()) < wanted:
        if time.monotonic() > until:
            raise StackError(
                f"{name} needs {wanted} slots and {free} are free at {cluster.address}; "
                "raise flink.taskmanagers, or cancel another job (`freshet job list`)"
            )
        time.sleep(POLL_S)


def _run(
    settings: Settings,
    name: str,
    *,
    checkpoints: str | None,
    restore: str | None,
    allow_lost_state: bool,
) -> None:
    layout = Layout.of(settings)
    if settings.flink.external or not (layout.data / "flink" / "conf").is_dir():
        flink.compose(settings, layout)
    arguments = _arguments(settings, layout, name, checkpoints, restore)
    lost = ("--allowNonRestoredState",) if restore and allow_lost_state else ()
    done = subprocess.run(
        flink.client_command("run", *lost, *arguments),
        env={**os.environ, **flink.client_environment(settings), **environment_of(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"{name} was not taken by Flink:\n{_reason(done.stdout + done.stderr)}")


def _arguments(
    settings: Settings, layout: Layout, name: str, checkpoints: str | None, restore: str | None
) -> Iterator[str]:
    yield from ("--detached", "--jobmanager", settings.flink.rest_address)
    yield from ("--parallelism", str(settings.flink.parallelism))
    if checkpoints:
        yield f"-Dexecution.checkpointing.dir={checkpoints}"
    if restore:
        # The job's own checkpoint is the new job's to delete; what somebody else named is not.
        owned = checkpoints is not None and restore.startswith(checkpoints)
        yield from ("--fromSavepoint", restore, "--claimMode", "claim" if owned else "no_claim")
    if settings.flink.external:
        yield from _shipped(layout)
    yield from ("--python", str(ROOT / "jobs" / f"{name}.py"))


def _shipped(layout: Layout) -> Iterator[str]:
    """What a cluster elsewhere doesn't have: our code and the connectors."""
    connectors = (fetch_jars(layout.cache) / "flink").glob("*.jar")
    yield f"-Dpipeline.jars={';'.join(jar.as_uri() for jar in connectors)}"
    yield from ("--pyFiles", str(_code(layout)), "--pyExecutable", "python3")


def _code(layout: Layout) -> Path:
    target = layout.jobs / "code"
    shutil.rmtree(target, ignore_errors=True)
    for package in CODE:
        shutil.copytree(
            ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return target


def _wait(cluster: FlinkCluster, name: str, *, say: Say, timeout_s: float) -> Job:
    began = time.monotonic()
    told = ""
    while True:
        job = next((one for one in cluster.jobs() if one.name == name), None)
        state = "not there yet" if job is None else f"{job.state.lower()}, {_tasks(job)}"
        if state != told:
            say(f"{name}: {state}")
            told = state
        if job is not None and job.is_running:
            return job
        over_time = time.monotonic() - began > timeout_s
        if over_time or (job is not None and job.is_over):
            raise StackError(_not_running(cluster, name, job, timeout_s))
        time.sleep(POLL_S)


def _tasks(job: Job) -> str:
    return f"{job.running_tasks} of {job.tasks} tasks"


def _not_running(cluster: FlinkCluster, name: str, job: Job | None, timeout_s: float) -> str:
    if job is None:
        return f"{name} has not appeared at {cluster.address} within {timeout_s:.0f} s"
    why = cluster.failure(job.job_id) or "no exception is known; see `freshet stack logs flink`"
    return f"{name} is {job.state.lower()} after at most {timeout_s:.0f} s:\n{why}"


def _reason(output: str) -> str:
    """What a Flink client says went wrong, without the frames of its stack traces."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("\tat ")]
    telling = [line for line in lines if "Error" in line or "Exception" in line or "error" in line]
    return "\n".join((telling or lines)[-FAILURES_SHOWN:])
