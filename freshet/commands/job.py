"""`freshet job`: our jobs on a Flink cluster."""

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from rich.table import Table

    from freshet.job_insight import JobInsight

PLAIN_WIDTH = 200

commands = typer.Typer(no_args_is_help=True, help="Our jobs on the Flink cluster.")

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="Some of them only; `all` is all."),
]
Name = Annotated[str, typer.Argument(metavar="JOB", help="One of our jobs.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
AllowLostState = Annotated[
    bool,
    typer.Option(
        "--allow-lost-state", help="Drop the state of operators that the job no longer has."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="job")


@commands.command()
def submit(
    context: typer.Context,
    names: Names = None,
    *,
    restore: Annotated[
        str | None, typer.Option("--from", help="Checkpoint or savepoint to go on from.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget all state, read the log from its beginning.")
    ] = False,
    allow_lost_state: AllowLostState = False,
) -> None:
    """Have the jobs running; one that runs is left alone, others go on from their checkpoint."""
    from freshet import job_submission
    from stores.errors import LogUnavailable

    if restore and fresh:
        raise typer.BadParameter("--from and --fresh exclude each other")
    with explained(LogUnavailable):
        job_submission.submit(
            settings_of(context),
            _chosen(names),
            say=typer.echo,
            restore=restore,
            fresh=fresh,
            allow_lost_state=allow_lost_state,
        )


@commands.command("list")
def list_jobs(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Say which jobs the cluster knows, how they are, and how far their checkpoints are."""
    from rich.console import Console

    from freshet.flink_cluster import FlinkCluster
    from freshet.job_insight import insight
    from freshet.job_submission import wishes_of

    settings = settings_of(context)
    cluster, wishes = FlinkCluster(settings.flink.rest_address), wishes_of(settings)
    now_ms = time.time_ns() // 1_000_000
    found = [
        insight(cluster, job, wanted=wishes.of(job.name).wanted, now_ms=now_ms)
        for job in cluster.jobs()
    ]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    elif not found:
        typer.echo("no job; start them with `freshet job submit`")
    else:
        Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(_table(found))


@commands.command()
def cancel(context: typer.Context, names: Names = None) -> None:
    """End jobs at once; their last checkpoints stay, and `submit` goes on from them."""
    from freshet import job_submission

    for name in _chosen(names):
        job = job_submission.cancel(settings_of(context), name)
        typer.echo(f"{name}: canceled, id {job.job_id}" if job else f"{name}: was not running")


@commands.command()
def savepoint(
    context: typer.Context,
    name: Name,
    *,
    to: Annotated[
        str | None, typer.Option(help="Directory, as a URI; else the cluster's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a savepoint of a job, which goes on, and print where it lies."""
    from freshet import job_savepoints

    _chosen([name])
    path = job_savepoints.take(settings_of(context), name, to=to, say=_to_stderr)
    typer.echo(json.dumps({"job": name, "savepoint": path}) if as_json else path)


@commands.command()
def stop(context: typer.Context, name: Name) -> None:
    """End a job with a savepoint and print where it lies; `submit` goes on from it."""
    from freshet import job_savepoints

    _chosen([name])
    typer.echo(job_savepoints.stop(settings_of(context), name, say=_to_stderr))


@commands.command()
def upgrade(
    context: typer.Context, name: Name, *, allow_lost_state: AllowLostState = False
) -> None:
    """End a job with a savepoint, and start the code that is here now from it."""
    from freshet import job_savepoints
    from stores.errors import LogUnavailable

    _chosen([name])
    with explained(LogUnavailable):
        done = job_savepoints.upgrade(
            settings_of(context), name, say=typer.echo, allow_lost_state=allow_lost_state
        )
    typer.echo(f"{name}: runs, id {done.job.job_id}")


@commands.command()
def watch(context: typer.Context) -> None:
    """Bring back jobs that the cluster has lost, tick, and compact the lake, until stopped."""
    from freshet.job_watch import JobWatch
    from freshet.lake_schedule import LakeSchedule
    from freshet.log_clock import LAST_TICK_S, LogClock
    from freshet.logs import configure

    settings = settings_of(context)
    configure(settings.log_format, level=settings.log_level)
    stop_watching = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_watching.set())
    LakeSchedule(settings).start(stop_watching)
    clock = LogClock(settings.kafka.bootstrap).start(stop_watching)
    try:
        JobWatch(settings).run(stop_watching)
    finally:
        stop_watching.set()
        clock.join(LAST_TICK_S)


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)


def _table(found: "Sequence[JobInsight]") -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("job", "state", "tasks", "wanted", "checkpoint", "reads", "held back", "id"):
        table.add_column(heading)
    for one in found:
        job = one.job
        table.add_row(
            job.name,
            job.state,
            f"{job.running_tasks}/{job.tasks}",
            "yes" if one.wanted else "no",
            _checkpoint(one),
            _reads(one),
            "" if one.held_back is None else f"{one.held_back:.0%}",
            job.job_id,
        )
    return table


def _checkpoint(one: "JobInsight") -> str:
    if one.checkpoint_age_s is None or one.checkpoint_bytes is None:
        return ""
    size = f"{one.checkpoint_bytes / 1e6:.1f} MB in {one.checkpoint_ms} ms"
    return f"{one.checkpoint_age_s:.0f} s ago, {size}"


def _reads(one: "JobInsight") -> str:
    if one.read_per_s is None:
        return ""
    behind = "" if one.behind is None else f", {one.behind} behind"
    return f"{one.read_per_s:.1f}/s{behind}"


def _chosen(names: list[str] | None) -> tuple[str, ...]:
    from freshet.job_submission import JOBS

    if not names or names == ["all"]:
        return JOBS
    for name in names:
        if name not in JOBS:
            raise typer.BadParameter(f"there is no job {name!r}; known: {', '.join(JOBS)}, all")
    return tuple(names)
