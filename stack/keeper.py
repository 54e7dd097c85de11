"""Keeps one program: starts it detached, records its fate, restarts it if told to.

Run as a script with nothing but the standard library, so that a keeper is small and quick:
`python -I -S keeper.py SPEC.json`. It returns when the program has been started (0), when another
keeper holds the lock (`ALREADY_KEPT`), or with the reason on stderr.
"""

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ALREADY_KEPT = 3
FIRST_RESTART_DELAY_S = 0.5
LAST_RESTART_DELAY_S = 10.0
SETTLED_S = 30.0
# A program that ends by itself so soon after its first start can't be started: it has said why.
FIRST_START_S = 10.0
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Keeper:
    """One program, kept until it ends for good or until SIGTERM."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.record_file = Path(spec["record"])
        self.stopping = False
        self.restarts = 0
        self.delay_s = FIRST_RESTART_DELAY_S
        self.started_ms = self.restarted_ms = now_ms()
        self.last_code: int | None = None
        self.last_end_ms: int | None = None
        self.child: subprocess.Popen[bytes] | None = None

    def run(self, started: int) -> None:
        """Start the program, tell the parent through the pipe `started`, and stay."""
        signal.signal(signal.SIGTERM, self.on_stop)
        signal.signal(signal.SIGINT, self.on_stop)
        signal.signal(signal.SIGALRM, self.on_grace_over)
        self.start_child()
        os.write(started, b"1")
        os.close(started)
        self.keep()
        self.finish()

    def start_child(self) -> None:
        """Start the program; its output goes on in the same log."""
        with Path(self.spec["log"]).open("ab") as log:
            self.child = subprocess.Popen(
                self.spec["argv"],
                cwd=self.spec["cwd"],
                env=os.environ | self.spec["environ"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        self.record(exit_code=None)

    def keep(self) -> None:
        """Wait for the end of the program, again and again if it is to be restarted."""
        while True:
            began = time.monotonic()
            code = self.wait_for_child()
            lived_s = time.monotonic() - began
            if not self.is_to_come_back(code, lived_s=lived_s):
                self.record(exit_code=code)
                return
            self.last_code, self.last_end_ms = code, now_ms()
            self.record(exit_code=None)
            self.sweep()
            if not self.pause_before_restart(lived_s=lived_s):
                return
            self.restarts += 1
            self.restarted_ms = now_ms()
            self.start_child()

    def is_to_come_back(self, code: int, *, lived_s: float) -> bool:
        """Whether to start a program again; a signal ended it if its code is negative."""
        cannot_start = self.restarts == 0 and code >= 0 and lived_s < FIRST_START_S
        return bool(self.spec["restart"]) and not self.stopping and not cannot_start

    def sweep(self) -> None:
        """End what a dead program left of itself, and remove its files outside its directory."""
        for pid in session_members(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pattern in self.spec["debris"]:
            for file in glob.glob(pattern):  # noqa: PTH207 (an absolute pattern)
                Path(file).unlink(missing_ok=True)

    def wait_for_child(self) -> int:
        """Exit code of the program; negative is the signal that killed it."""
        assert self.child is not None
        return self.child.wait()

    def pause_before_restart(self, *, lived_s: float) -> bool:
        """Wait longer each time for a program that doesn't stay up; whether to go on then."""
        if lived_s > SETTLED_S:
            self.delay_s = FIRST_RESTART_DELAY_S
        until = time.monotonic() + self.delay_s
        while not self.stopping and time.monotonic() < until:
            time.sleep(0.05)
        self.delay_s = min(self.delay_s * 2, LAST_RESTART_DELAY_S)
        return not self.stopping

    def on_stop(self, *_: object) -> None:
        """Ask the program to end, and set a limit to its patience."""
        self.stopping = True
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            signal.setitimer(signal.ITIMER_REAL, self.spec["grace_s"])

    def on_grace_over(self, *_: object) -> None:
        """The program had its time."""
        if self.child is not None:
            self.child.kill()

    def record(self, *, exit_code: int | None) -> None:
        """Replace the record in one step, so that a reader never sees half of it."""
        assert self.child is not None
        content = {
            "keeper": os.getpid(),
            "pid": self.child.pid,
            "started_ms": self.started_ms,
            "restarts": self.restarts,
            "restarted_ms": self.restarted_ms,
            "last_code": self.last_code,
            "last_end_ms": self.last_end_ms,
            "exit_code": exit_code,
            "ended_ms": None if exit_code is None else now_ms(),
        }
        draft = self.record_file.with_suffix(".draft")
        draft.write_text(json.dumps(content))
        draft.replace(self.record_file)

    def finish(self) -> None:
        """Leave nothing of the program's group behind, this process included."""
        if self.stopping:
            self.record_file.unlink(missing_ok=True)
        os.killpg(0, signal.SIGKILL)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


def session_members(leader: int) -> list[int]:
    """The other living processes of a session, where the kernel tells (Linux)."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):  # noqa: PTH207 (quicker, and by text alone)
        with contextlib.suppress(OSError):
            # The name of a program stands in brackets and may hold anything.
            pid, _, after = Path(stat).read_text(errors="replace").partition(" ")
            session = int(after.rpartition(")")[2].split()[3])
            if session == leader and int(pid) != leader:
                found.append(int(pid))
    return found


def die_with_parent() -> None:
    """Let the kernel end this process with its keeper, where the kernel can (Linux)."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def take_lock(path: str) -> bool:
    """Take the lock for as long as this process and its copy live; never released by hand."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(spec_file: str) -> int:
    """Fork, so that the keeper belongs to init; return once the program runs."""
    spec = json.loads(Path(spec_file).read_text())
    if not take_lock(spec["lock"]):
        return ALREADY_KEPT
    read_end, write_end = os.pipe()
    if os.fork() > 0:
        os.close(write_end)
        return 0 if os.read(read_end, 1) else 1
    os.close(read_end)
    os.setsid()
    Keeper(spec).run(write_end)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
