"""Keeps what was measured, with the machine and the command that measured it."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"


def save(name: str, figures: Mapping[str, object]) -> Path:
    """Write figures to `results/NAME.json`; the repository's history keeps earlier ones."""
    target = RESULTS / f"{name}.json"
    result = {
        "figures": figures,
        "command": " ".join(["python", "-m", f"bench.{name}", *sys.argv[1:]]),
        "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return target


def machine() -> Mapping[str, object]:
    """What it was measured on, and how busy that was."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
