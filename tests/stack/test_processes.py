import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from stack import processes
from stack.layout import Layout
from stack.part import Program, StackError

Make = Callable[..., Program]
Marked = Callable[[], list[int]]
SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf'); time.sleep(60)"
)
KILLS_ITSELF = "import os; os.kill(os.getpid(), 9)"
# A child that no signal to its parent reaches, and that hides the mark, as Valkey does.
LEAVES_A_CHILD = (
    "import subprocess, time; "
    "print(subprocess.Popen(['sleep', '60'], env={}).pid, flush=True); time.sleep(60)"
)


def eventually(condition: Callable[[], bool], *, within_s: float = 10) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)


def record(layout: Layout, name: str = "one") -> processes.Record:
    found = processes.read_record(name, layout)
    assert found is not None
    return found


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_started_program_runs_and_is_recorded(layout: Layout, program: Make) -> None:
    processes.start(program(SLEEP), layout)
    assert processes.is_running("one", layout)
    assert alive(record(layout).pid)
    assert record(layout).exit_code is None


def test_stop_leaves_no_process_and_no_file(layout: Layout, program: Make, marked: Marked) -> None:
    processes.start(program(SLEEP), layout)
    processes.stop("one", layout)
    assert marked() == []
    assert list(layout.run.iterdir()) == []


def test_a_second_start_changes_nothing(layout: Layout, program: Make, marked: Marked) -> None:
    processes.start(program(SLEEP), layout)
    before = record(layout)
    processes.start(program(SLEEP), layout)
    assert record(layout) == before
    assert len(marked()) == 2  # the keeper and the program


def log_holds(layout: Layout, word: str) -> bool:
    return word in processes.log_tail(layout, "one")


def test_output_goes_to_the_log_and_goes_on_after_a_restart(layout: Layout, program: Make) -> None:
    for word in ("first", "second"):
        processes.start(program(f"print({word!r}); {SLEEP}"), layout)
        eventually(functools.partial(log_holds, layout, word))
        processes.stop("one", layout)
    assert processes.log_tail(layout, "one") == "first\nsecond"


def test_a_program_that_ends_is_recorded_with_its_exit_code(layout: Layout, program: Make) -> None:
    processes.start(program("raise SystemExit(7)"), layout)
    eventually(lambda: record(layout).exit_code == 7)
    eventually(lambda: not processes.is_kept("one", layout))
    assert not processes.is_running("one", layout)


def test_a_killed_program_is_recorded_with_its_signal(layout: Layout, program: Make) -> None:
    processes.start(program(SLEEP), layout)
    os.kill(record(layout).pid, signal.SIGKILL)
    eventually(lambda: record(layout).exit_code == -signal.SIGKILL)


def test_a_program_to_be_restarted_comes_back(layout: Layout, program: Make) -> None:
    processes.start(program(SLEEP, restart=True), layout)
    first = record(layout).pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: record(layout).restarts == 1)
    assert record(layout).pid != first
    assert alive(record(layout).pid)


def test_a_program_that_is_killed_at_once_is_restarted_ever_more_slowly(
    layout: Layout, program: Make
) -> None:
    processes.start(program(f"print('again', flush=True); {KILLS_ITSELF}", restart=True), layout)
    time.sleep(2.2)
    # At 0, then after 0.5 s and 1 s more; the next would come 2 s later.
    assert 2 <= processes.log_tail(layout, "one").count("again") <= 3


def test_a_program_that_cannot_start_is_not_tried_again(layout: Layout, program: Make) -> None:
    processes.start(program("print('no disk'); raise SystemExit(3)", restart=True), layout)
    eventually(lambda: not processes.is_kept("one", layout))
    assert (record(layout).exit_code, record(layout).restarts) == (3, 0)
    assert processes.log_tail(layout, "one") == "no disk"


def test_a_program_that_came_back_fails_as_often_as_it_must(
    layout: Layout, program: Make, tmp_path: Path
) -> None:
    code = f"import pathlib; p = pathlib.Path({str(tmp_path / 'seen')!r}); seen = p.exists()"
    fails = f"{code}; p.touch(); exec({'raise SystemExit(4)'!r} if seen else {KILLS_ITSELF!r})"
    processes.start(program(fails, restart=True), layout)
    eventually(lambda: record(layout).restarts >= 2)
    assert record(layout).last_code == 4


def test_what_ended_the_life_before_is_recorded(layout: Layout, program: Make) -> None:
    processes.start(program(SLEEP, restart=True), layout)
    os.kill(record(layout).pid, signal.SIGKILL)
    eventually(lambda: record(layout).restarts == 1)
    found = record(layout)
    assert found.last_code == -signal.SIGKILL
    assert found.started_ms <= (found.last_end_ms or 0) <= found.restarted_ms
    assert found.exit_code is None


def test_what_a_killed_program_leaves_is_ended_before_it_comes_back(
    layout: Layout, program: Make, tmp_path: Path
) -> None:
    lock = tmp_path / "server-1.lock"
    lock.touch()
    kept = program(LEAVES_A_CHILD, restart=True)
    processes.start(replace(kept, debris=(f"{tmp_path}/server-*.lock",)), layout)
    eventually(lambda: processes.log_tail(layout, "one") != "")
    child = int(processes.log_tail(layout, "one"))
    os.kill(record(layout).pid, signal.SIGKILL)
    eventually(lambda: record(layout).restarts == 1)
    eventually(lambda: not alive(child))
    assert not lock.exists()


def test_stop_ends_a_program_that_waits_for_its_restart(
    layout: Layout, program: Make, marked: Marked
) -> None:
    processes.start(program(KILLS_ITSELF, restart=True), layout)
    time.sleep(1)
    processes.stop("one", layout)
    assert marked() == []


def test_a_deaf_program_is_killed_when_its_time_is_over(
    layout: Layout, program: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    processes.start(program(STUBBORN), layout)
    eventually(lambda: "deaf" in processes.log_tail(layout, "one"))
    pid, began = record(layout).pid, time.monotonic()
    processes.stop("one", layout)
    assert not alive(pid)
    assert time.monotonic() - began < processes.KEEPER_EXTRA_S  # by its keeper, not by the sweep


def test_a_program_goes_with_its_killed_keeper(layout: Layout, program: Make) -> None:
    processes.start(program(SLEEP), layout)
    pid = record(layout).pid
    os.kill(record(layout).keeper, signal.SIGKILL)
    eventually(lambda: not alive(pid))
    assert not processes.is_running("one", layout)


def test_a_child_that_outlives_keeper_and_program_is_found_and_ended(
    layout: Layout, program: Make
) -> None:
    processes.start(program(LEAVES_A_CHILD), layout)
    eventually(lambda: processes.log_tail(layout, "one") != "")
    child = int(processes.log_tail(layout, "one"))
    os.kill(record(layout).keeper, signal.SIGKILL)
    os.kill(record(layout).pid, signal.SIGKILL)
    eventually(lambda: not processes.is_kept("one", layout))
    assert [process.pid for process in processes.leftovers("one", layout)] == [child]
    processes.stop("one", layout)
    assert not alive(child)


def marked(layout: Layout, *, within_s: float) -> list[int]:
    """The marked processes; one that is just being started has no environment for a moment."""
    until = time.monotonic() + within_s
    while not (found := list(processes.leftovers("one", layout))) and time.monotonic() < until:
        time.sleep(0.01)
    return [process.pid for process in found]


def test_a_marked_process_is_found_without_any_record(layout: Layout) -> None:
    environ = os.environ | {processes.MARK: f"{layout.data}#one"}
    with subprocess.Popen(["sleep", "60"], env=environ) as stray:
        assert marked(layout, within_s=5) == [stray.pid]
        processes.stop("one", layout)
        assert not alive(stray.pid)


def test_a_stale_record_whose_process_id_is_anothers_harms_nobody(layout: Layout) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as foreign:
        stale = asdict(record_of_yesterday(foreign.pid))
        layout.run.mkdir(parents=True)
        layout.record("one").write_text(json.dumps(stale))
        layout.lock("one").touch()
        processes.stop("one", layout)
        assert foreign.poll() is None
        foreign.kill()
    assert not layout.record("one").exists()


def record_of_yesterday(pid: int) -> processes.Record:
    yesterday_ms = int(time.time() * 1000) - 86_400_000
    return processes.Record(
        keeper=pid, pid=pid, started_ms=yesterday_ms, restarts=0, exit_code=None, ended_ms=None
    )


def test_a_program_that_cannot_be_executed_says_why(layout: Layout) -> None:
    missing = Program(name="one", argv=("/nowhere/server",), cwd=layout.data)
    with pytest.raises(StackError, match=r"one could not be started:\n(.|\n)*/nowhere/server"):
        processes.start(missing, layout)
    assert not processes.is_kept("one", layout)


def test_a_long_log_is_put_aside_at_a_start(
    layout: Layout, program: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "KEPT_LOG_BYTES", 10)
    layout.log("one").parent.mkdir(parents=True)
    layout.log("one").write_text("yesterday's news\n")
    processes.start(program(SLEEP), layout)
    assert processes.log_tail(layout, "one") == ""
    assert layout.log("one").with_suffix(".log.1").read_text() == "yesterday's news\n"


def test_the_log_of_a_program_that_never_ran_is_empty(layout: Layout) -> None:
    assert processes.log_tail(layout, "one") == ""


def test_memory_counts_a_program_and_its_children(layout: Layout) -> None:
    assert processes.memory_bytes(os.getpid()) > 1_000_000
    assert processes.memory_bytes(2**22 + 1) == 0
