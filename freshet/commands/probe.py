"""`freshet probe`: measures the running stack."""

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freshet.context import settings_of

if TYPE_CHECKING:
    from demo.freshness import Summary
    from demo.measurement import Measured, ProbePlan
    from settings import Settings

commands = typer.Typer(no_args_is_help=True, help="Measures the running stack.")

# What each row of the report is, by the field of a probe that it sums up.
ROWS = {
    "log_ms": "taken by Kafka",
    "store_ms": "in Redis",
    "state_ms": "state in an answer",
    "answer_ms": "visible in an answer",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="probe")


@commands.callback()
def _group() -> None:
    """Keep `freshness` a command of its own while it is the only one."""


@commands.command()
def freshness(
    context: typer.Context,
    *,
    rate: Annotated[float, typer.Option(min=0, help="Other events a second, beside.")] = 100.0,
    seconds: Annotated[float, typer.Option(min=1, help="For how long.")] = 30.0,
    probes: Annotated[int, typer.Option(min=1, help="Marked events, evenly over that time.")] = 100,
    users: Annotated[int, typer.Option(min=1, help="Users of the other events.")] = 1_000,
    poll_ms: Annotated[float, typer.Option(min=1, help="Pause between two looks.")] = 20.0,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="Longer is never.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure how long an event takes from produce to visible in an answer.

    Visible is: the answer was made of a state and of a vector that know the event. A probe that
    was not seen counts as slower than all others, and ends the command with 1.
    """
    import secrets

    from demo.measurement import ProbePlan

    plan = ProbePlan(
        rate=rate,
        seconds=seconds,
        probes=probes,
        users=users,
        poll_s=poll_ms / 1000,
        timeout_s=timeout_s,
        run=f"probe-{secrets.token_hex(4)}",
    )
    measured = _measure(settings_of(context), plan)
    if as_json:
        typer.echo(json.dumps(_as_data(plan, measured), indent=2))
    else:
        _print(plan, measured)
    if any(seen.answer_ms is None for seen in measured.seen):
        raise typer.Exit(1)


def _measure(settings: "Settings", plan: "ProbePlan") -> "Measured":
    import asyncio

    from rich.console import Console

    from demo.measurement import ProbeError, measure
    from demo.progress import Counter
    from demo.service import ServiceError
    from freshet.failing import explained
    from stores.errors import StoreError

    console = Console(stderr=True)
    with (
        explained(ProbeError, ServiceError, StoreError),
        Counter("probes", total=plan.probes, console=console) as counter,
    ):
        return asyncio.run(measure(settings, plan, progress=lambda _: counter.advance()))


def _summaries(measured: "Measured") -> "dict[str, Summary]":
    from demo.freshness import summary

    return {name: summary(getattr(one, name) for one in measured.seen) for name in ROWS}


def _print(plan: "ProbePlan", measured: "Measured") -> None:
    from rich.console import Console
    from rich.table import Table

    from demo.freshness import histogram

    console = Console(highlight=False)
    load = measured.load
    console.print(
        f"{load.sent:,} other events in {load.seconds:.1f} s: {load.rate:.0f}/s of "
        f"{load.asked_rate:g}/s asked, {load.failed} failed"
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("from produce to", "p50", "p99", "max", "never"):
        table.add_column(heading, justify="left" if heading.startswith("from") else "right")
    for name, one in _summaries(measured).items():
        times = (_time(one.p50_ms, plan), _time(one.p99_ms, plan), _time(one.max_ms, plan))
        table.add_row(ROWS[name], *times, f"{one.never} of {one.probes}")
    console.print(table)
    pauses = f"{plan.poll_s * 1000:g} ms, then after a fifth of the time so far"
    console.print(f"\nvisible in an answer, looked for every {pauses}:", soft_wrap=True)
    for line in histogram(seen.answer_ms for seen in measured.seen):
        console.print(line)


def _time(ms: float, plan: "ProbePlan") -> str:
    return f"{ms:.0f} ms" if math.isfinite(ms) else f"> {plan.timeout_s:g} s"


def _as_data(plan: "ProbePlan", measured: "Measured") -> dict[str, Any]:
    """JSON has no infinity: what was never seen is null."""
    summaries = {
        name: {key: _finite(value) for key, value in asdict(one).items()}
        for name, one in _summaries(measured).items()
    }
    return {
        "plan": asdict(plan),
        "load": {**asdict(measured.load), "rate": measured.load.rate},
        "times": summaries,
        "probes": [asdict(seen) for seen in measured.seen],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
