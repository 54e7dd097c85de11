"""Savepoints: one of a job that goes on, one that a job ends with, and new code from it."""

import time
from collections.abc import Callable
from dataclasses import replace

from freshet.flink_cluster import FlinkCluster, Job
from freshet.job_client import JobClient
from freshet.job_submission import (
    POLL_S,
    Say,
    Submitted,
    await_end,
    client_of,
    running,
    start,
    stopped_directory,
    wishes_of,
)
from freshet.wanted_jobs import Wish
from settings import Settings
from stack.part import StackError

TIMEOUT_S = 300.0
END_S = 60.0


def take(settings: Settings, name: str, *, to: str | None = None, say: Say) -> str:
    """Take a savepoint of a job, which goes on; answers where it lies."""
    cluster = FlinkCluster(settings.flink.rest_address)
    job = _running(cluster, name)
    directory = to or _directory(cluster, name)
    request = cluster.start_savepoint(job.job_id, directory)
    return _complete(cluster, job, request, say=say)


def stop(settings: Settings, name: str, *, say: Say) -> str:
    """End a job with a savepoint and want it no longer; answers where the savepoint lies."""
    wishes, cluster = wishes_of(settings), FlinkCluster(settings.flink.rest_address)
    with wishes.held(name):
        path = _stop(cluster, _running(cluster, name), say=say)
        wishes.keep(name, replace(wishes.of(name), wanted=False))
    return path


def upgrade(
    settings: Settings, name: str, *, say: Say, allow_lost_state: bool = False
) -> Submitted:
    """End a job with a savepoint, and start the code that is here now from it.

    The savepoint lies where a start looks for the newest: if the new code is refused, the old one
    put back goes on from the same place.
    """
    wishes, cluster = wishes_of(settings), FlinkCluster(settings.flink.rest_address)
    with wishes.held(name):
        job = _running(cluster, name)
        # It gets warm while the old code ends.
        with client_of(settings) as client:
            path = _stop(cluster, job, say=say)
            wish = replace(wishes.of(name), wanted=True, seen=path)
            wishes.keep(name, wish)
            return _start(settings, name, wish, client, say=say, allow_lost_state=allow_lost_state)


def _start(
    settings: Settings,
    name: str,
    wish: Wish,
    client: JobClient,
    *,
    say: Say,
    allow_lost_state: bool,
) -> Submitted:
    try:
        return running(
            start(settings, {name: wish}, say=say, client=client, allow_lost_state=allow_lost_state)
        )[name]
    except StackError as error:
        raise StackError(
            f"{error}\n{name} was stopped with its state in {wish.seen}; "
            f"with code that fits, `freshet job submit {name}` goes on from there"
        ) from error


def _stop(cluster: FlinkCluster, job: Job, *, say: Say) -> str:
    request = cluster.stop(job.job_id, stopped_directory(cluster, job.name))
    path = _complete(cluster, job, request, say=say)
    await_end(cluster, job, timeout_s=END_S)
    return path


def _running(cluster: FlinkCluster, name: str) -> Job:
    job = cluster.active(name)
    if job is None:
        raise StackError(
            f"{name} isn't running at {cluster.address}; `freshet job list` says what is"
        )
    return job


def _directory(cluster: FlinkCluster, name: str) -> str | None:
    directory = cluster.savepoint_directory()
    return f"{directory.rstrip('/')}/{name}" if directory else None


def _complete(
    cluster: FlinkCluster,
    job: Job,
    request: str,
    *,
    say: Say,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    began, told = clock(), ""
    while not (found := cluster.savepoint(job.job_id, request)).done:
        state = _progress(cluster, job)
        if state != told:
            say(f"{job.name}: {state}")
            told = state
        if clock() - began > TIMEOUT_S:
            raise StackError(f"no savepoint of {job.name} after {TIMEOUT_S:.0f} s ({state})")
        time.sleep(POLL_S)
    if found.failure or not found.path:
        raise StackError(f"no savepoint of {job.name}:\n{found.failure or 'Flink gave no reason'}")
    say(f"{job.name}: savepoint complete after {clock() - began:.1f} s")
    return found.path


def _progress(cluster: FlinkCluster, job: Job) -> str:
    under_way = cluster.savepoint_under_way(job.job_id)
    if under_way is None:
        return "savepoint asked for"
    size_mb = under_way.size_bytes / 1e6
    return f"savepoint, {under_way.acknowledged} of {under_way.tasks} tasks, {size_mb:.1f} MB"
