"""Starts programs under keepers, and finds what is left of them."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack import keeper
from stack.layout import Layout
from stack.part import Program, StackError

# In the environment of every process of a stack, so that it is known whatever becomes of its
# keeper. Not one of the settings' variables, which begin with FRESHET_.
MARK = "FRESHETSTACK"
KEPT_LOG_BYTES = 20_000_000
GRACE_S = 10.0
KEEPER_EXTRA_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a keeper says of its program; `last_…` is of the life before a restart."""

    keeper: int
    pid: int
    started_ms: int
    restarts: int
    exit_code: int | None
    ended_ms: int | None
    restarted_ms: int = 0
    last_code: int | None = None
    last_end_ms: int | None = None


def start(program: Program, layout: Layout) -> None:
    """Start a program under a keeper, unless it has one."""
    spec = _write_spec(program, layout)
    _keep_log_short(layout.log(program.name))
    with layout.log(program.name).open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-I", "-S", keeper.__file__, str(spec)],
            env=os.environ | {MARK: _mark(layout, program.name)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    spec.unlink()
    if done.returncode not in {0, keeper.ALREADY_KEPT}:
        raise StackError(f"{program.name} could not be started:\n{log_tail(layout, program.name)}")


def stop(name: str, layout: Layout) -> None:
    """End a program, its keeper and whatever they started; nothing else."""
    record = read_record(name, layout)
    if record is not None and is_kept(name, layout):
        _signal(record.keeper, signal.SIGTERM)
        _wait_until_unkept(name, layout, timeout_s=GRACE_S + KEEPER_EXTRA_S)
    kill_leftovers(name, layout)
    for file in (layout.record(name), layout.lock(name)):
        file.unlink(missing_ok=True)


def is_kept(name: str, layout: Layout) -> bool:
    """Whether a keeper of this program lives: the kernel holds its lock for it."""
    try:
        lock = os.open(layout.lock(name), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def is_running(name: str, layout: Layout) -> bool:
    """Whether a program runs, or is about to be started again, under its keeper."""
    record = read_record(name, layout)
    return record is not None and record.exit_code is None and is_kept(name, layout)


def exists(name: str, layout: Layout) -> bool:
    """Whether any process of a program is there, kept or not."""
    return is_kept(name, layout) or any(leftovers(name, layout))


def known_programs(layout: Layout, named: Sequence[str]) -> list[str]:
    """The named programs, and those that other settings started in the same data directory."""
    recorded = [file.stem for file in layout.run.glob("*.json")]
    return sorted({*named, *recorded})


def read_record(name: str, layout: Layout) -> Record | None:
    """What the keeper last said, if it ever did."""
    with contextlib.suppress(FileNotFoundError):
        return Record(**json.loads(layout.record(name).read_text()))
    return None


def kill_leftovers(name: str, layout: Layout) -> None:
    """Kill what outlived its keeper."""
    victims = list(leftovers(name, layout))
    for process in victims:
        _signal(process.pid, signal.SIGKILL)
    psutil.wait_procs(victims, timeout=5)


def leftovers(name: str, layout: Layout) -> Iterator[psutil.Process]:
    """Living processes of a program: by the mark in their environment, or by their session.

    The session is asked too because some servers (Valkey) write over their environment.
    """
    record = read_record(name, layout)
    mark = _mark(layout, name)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if _is_alive(process) and (_in_session(process, record) or _marked(process, mark)):
                yield process


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and of all that it started."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.Error:
        return 0


def log_tail(layout: Layout, name: str, lines: int = 20) -> str:
    """The last lines of a program's log."""
    try:
        with layout.log(name).open("rb") as log:
            log.seek(max(0, layout.log(name).stat().st_size - 400 * lines))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _write_spec(program: Program, layout: Layout) -> Path:
    for directory in (layout.run, layout.log(program.name).parent, program.cwd):
        directory.mkdir(parents=True, exist_ok=True)
    spec = layout.run / f"{program.name}.spec"
    content = {
        "argv": program.argv,
        "cwd": str(program.cwd),
        "environ": dict(program.environ),
        "restart": program.restart,
        "debris": program.debris,
        "grace_s": GRACE_S,
        "log": str(layout.log(program.name)),
        "record": str(layout.record(program.name)),
        "lock": str(layout.lock(program.name)),
    }
    spec.write_text(json.dumps(content))
    return spec


def _keep_log_short(log: Path) -> None:
    """Put a long log aside, so that two lengths of it are the most there is at a start."""
    if log.exists() and log.stat().st_size > KEPT_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _mark(layout: Layout, name: str) -> str:
    return f"{layout.data}#{name}"


def _marked(process: psutil.Process, mark: str) -> bool:
    return process.pid != os.getpid() and process.environ().get(MARK) == mark


def _in_session(process: psutil.Process, record: Record | None) -> bool:
    """Whether a process is of the session that the keeper led.

    A process id comes back only when no session bears it any more, so a living leader that began
    later than the record says that the session is another.
    """
    if record is None or os.getsid(process.pid) != record.keeper:
        return False
    return process.create_time() * 1000 >= record.started_ms - 2000 and not _reused(record)


def _reused(record: Record) -> bool:
    try:
        return psutil.Process(record.keeper).create_time() * 1000 > record.started_ms + 2000
    except psutil.NoSuchProcess:
        return False


def _is_alive(process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_until_unkept(name: str, layout: Layout, *, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while is_kept(name, layout) and time.monotonic() < until:
        time.sleep(0.05)
