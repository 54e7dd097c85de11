"""Programs that are small but real, in a data directory of their own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stack import processes
from stack.layout import Layout
from stack.part import Program


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A layout whose programs are all ended after the test."""
    layout = Layout(data=tmp_path / "data", cache=tmp_path / "cache")
    yield layout
    for name in processes.known_programs(layout, ["one", "two"]):
        processes.stop(name, layout)
    assert not _marked_processes(layout)


@pytest.fixture
def marked(layout: Layout) -> Callable[[], list[int]]:
    """Every living process that bears the mark of the test's layout."""
    return lambda: _marked_processes(layout)


@pytest.fixture
def program(layout: Layout) -> Callable[..., Program]:
    """Makes a program that runs a few lines of Python."""

    def make(code: str, *, restart: bool = False, name: str = "one") -> Program:
        argv = (sys.executable, "-u", "-c", code)
        return Program(name=name, argv=argv, cwd=layout.data, restart=restart)

    return make


def _marked_processes(layout: Layout) -> list[int]:
    found = []
    for process in psutil.process_iter(["environ", "status"]):
        mark = (process.info["environ"] or {}).get(processes.MARK, "")
        if mark.startswith(f"{layout.data}#") and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found
