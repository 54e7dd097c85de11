"""What looks after our jobs on the Flink cluster, this machine's or another."""

import json
import time
from pathlib import Path

from settings import Settings
from stack.layout import Layout
from stack.part import Part
from stack.service import own_program

# Starting a job may take two minutes on a busy machine; nothing is written meanwhile.
SILENT_S = 180.0


def part(settings: Settings, layout: Layout) -> Part:
    """Brings back the jobs that are wanted when a JobManager has lost them."""
    return Part(
        name="jobs",
        address=settings.flink.rest_address,
        external=False,
        ports={},
        program_names=("jobs",),
        programs=lambda: (own_program(layout, name="jobs", command=("job", "watch")),),
        trouble=lambda: trouble(layout, now_ms=int(time.time() * 1000)),
        prepare=lambda: watch_file(layout).unlink(missing_ok=True),
        needs_servers=True,
    )


def watch_file(layout: Layout) -> Path:
    """Where it writes what is wrong."""
    return layout.jobs / "watch.json"


def trouble(layout: Layout, *, now_ms: int) -> str:
    """What is wrong with the jobs, "" when each that is wanted is there."""
    try:
        told = json.loads(watch_file(layout).read_text())
    except FileNotFoundError:
        return "it has not looked yet"
    silent_s = (now_ms - told["at_ms"]) / 1000
    if silent_s > SILENT_S:
        return f"it has not looked for {silent_s:.0f} s"
    return str(told["trouble"])
