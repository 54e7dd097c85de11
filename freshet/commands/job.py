"""`freshet job`: our jobs on a Flink cluster."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

commands = typer.Typer(no_args_is_help=True, help="Our jobs on the Flink cluster.")

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="user_state, item_state; all if none."),
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
) -> None:
    """Have the jobs running; one that runs is left alone, others go on from their checkpoint."""
    from freshet import job_submission
    from stores.errors import LogUnavailable

    if restore and fresh:
        raise typer.BadParameter("--from and --fresh exclude each other")
    for name in _chosen(names):
        with explained(LogUnavailable):
            done = job_submission.submit(
                settings_of(context), name, say=typer.echo, restore=restore, fresh=fresh
            )
        how = "was running already" if done.found else "runs"
        typer.echo(f"{name}: {how}, id {done.job.job_id}")


@commands.command("list")
def list_jobs(context: typer.Context) -> None:
    """Say which jobs the cluster knows and how they are."""
    from freshet.flink_cluster import FlinkCluster

    jobs = FlinkCluster(settings_of(context).flink.rest_address).jobs()
    if not jobs:
        typer.echo("no job; start them with `freshet job submit`")
    for job in jobs:
        since = datetime.fromtimestamp(job.started_ms / 1000, tz=UTC).isoformat(timespec="seconds")
        tasks = f"{job.running_tasks}/{job.tasks} tasks"
        typer.echo(f"{job.name:<12} {job.state:<12} {tasks:<12} since {since}  {job.job_id}")


@commands.command()
def cancel(context: typer.Context, names: Names = None) -> None:
    """Stop jobs; their last checkpoints stay, and `submit` goes on from them."""
    from freshet import job_submission

    for name in _chosen(names):
        job = job_submission.cancel(settings_of(context), name)
        typer.echo(f"{name}: canceled, id {job.job_id}" if job else f"{name}: was not running")


def _chosen(names: list[str] | None) -> tuple[str, ...]:
    from freshet.job_submission import JOBS

    if not names or names == ["all"]:
        return JOBS
    for name in names:
        if name not in JOBS:
            raise typer.BadParameter(f"there is no job {name!r}; known: {', '.join(JOBS)}, all")
    return tuple(names)
