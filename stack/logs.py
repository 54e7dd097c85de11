"""Reads the logs of programs."""

import time
from collections.abc import Iterator
from pathlib import Path

from settings import Settings
from stack.layout import Layout
from stack.lifecycle import parts_of
from stack.part import StackError
from stack.processes import log_tail

POLL_S = 0.3


def last_lines(settings: Settings, name: str | None, *, lines: int) -> Iterator[str]:
    """The last lines of each log, under its path if there are several."""
    layout = Layout.of(settings)
    programs = programs_of(settings, name)
    for program in programs:
        if len(programs) > 1:
            yield f"==> {layout.log(program)} <=="
        tail = log_tail(layout, program, lines=lines)
        yield from tail.splitlines() if lines else ()


def new_lines(settings: Settings, name: str | None) -> Iterator[str]:
    """Lines written from now on, for ever; the program before each if there are several."""
    layout = Layout.of(settings)
    programs = programs_of(settings, name)
    positions = {program: _size(layout.log(program)) for program in programs}
    while True:
        for program in programs:
            text, positions[program] = _read_on(layout.log(program), positions[program])
            for line in text.splitlines():
                yield f"{program}: {line}" if len(programs) > 1 else line
        time.sleep(POLL_S)


def programs_of(settings: Settings, name: str | None) -> list[str]:
    """The programs of a part, the one program of that name, or all that have a log."""
    parts = parts_of(settings)
    known = {program: [program] for part in parts for program in part.program_names}
    known |= {part.name: list(part.program_names) for part in parts}
    if name is None:
        layout = Layout.of(settings)
        every = [program for part in parts for program in part.program_names]
        return [program for program in every if layout.log(program).exists()]
    if name not in known:
        raise StackError(f"{name}: there is no such part; there are: {', '.join(sorted(known))}")
    return known[name]


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _read_on(log: Path, position: int) -> tuple[str, int]:
    """Whole lines after `position`; a log that became shorter was begun anew."""
    if not log.exists():
        return "", 0
    start = position if log.stat().st_size >= position else 0
    with log.open("rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    return whole.decode(errors="replace"), start + len(whole) + len(newline)
