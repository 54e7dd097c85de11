"""Brings parts up, says how they are, and takes them down."""

import contextlib
import fcntl
import glob
import os
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from settings import Settings
from settings.load import revealed, toml_lines
from stack import flink, jobs, kafka, milvus, processes, service, triton, valkey
from stack.jars import fetch_jars
from stack.layout import Layout
from stack.part import Part, StackError
from stack.ports import taken_ports

Maker = Callable[[Settings, Layout], Part]

MAKERS: dict[str, Maker] = {
    "kafka": kafka.part,
    "valkey": valkey.part,
    "milvus": milvus.part,
    "triton": triton.part,
    "flink": flink.part,
    "jobs": jobs.part,
    "writers": service.writers,
    "api": service.api,
}
SERVERS = ("kafka", "valkey", "milvus", "triton", "flink", "jobs")
SERVICE = ("writers", "api")
OURS = ("jobs", *SERVICE)
START_LIMIT_S = 180.0
POLL_S = 0.2


class State(StrEnum):
    """How a part is."""

    RUNNING = "running"
    STARTING = "starting"
    UNWELL = "unwell"
    DIED = "died"
    STOPPED = "stopped"
    EXTERNAL = "external"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """How a part is, and what was seen of it."""

    name: str
    state: State
    address: str
    detail: str = ""
    pids: tuple[int, ...] = ()
    restarts: int = 0
    memory_mb: int = 0
    up_s: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong: a part that nobody started is well too."""
        return self.state in {State.RUNNING, State.STOPPED, State.EXTERNAL}


Progress = Callable[[PartStatus], None]


def parts_of(settings: Settings, names: Sequence[str] = ()) -> list[Part]:
    """The named parts, or all."""
    unknown = [name for name in names if name not in MAKERS]
    if unknown:
        raise StackError(f"{unknown[0]}: there is no such part; there are: {', '.join(MAKERS)}")
    layout = Layout.of(settings)
    return [maker(settings, layout) for name, maker in MAKERS.items() if not names or name in names]


def up(
    settings: Settings,
    names: Sequence[str] = SERVERS,
    *,
    progress: Progress = lambda _: None,
    limit_s: float = START_LIMIT_S,
) -> list[PartStatus]:
    """Start parts and wait until each is well; what runs already is left alone.

    The servers first, all at once, then what needs them. Raises StackError if a part can't be
    started, dies, or isn't well in time; the others are left running.
    """
    layout = Layout.of(settings)
    parts = parts_of(settings, names)
    with _one_at_a_time(layout):
        _refuse_taken_ports(parts, layout)
        write_settings(settings, layout)
    servers = [part for part in parts if not part.needs_servers]
    services = [part for part in parts if part.needs_servers]
    return [
        *_start_and_wait(servers, layout, progress=progress, limit_s=limit_s),
        *_start_and_wait(services, layout, progress=progress, limit_s=limit_s),
    ]


def fetch(settings: Settings) -> None:
    """Have in the cache all that parts need from outside the environment."""
    cache = Layout.of(settings).cache
    fetch_jars(cache)
    milvus.unpack(cache)


def down(settings: Settings, names: Sequence[str] = ()) -> list[str]:
    """Stop parts, all if none is named; answers the names of the programs that were running."""
    layout = Layout.of(settings)
    if not layout.data.exists():
        return []
    parts = parts_of(settings, names)
    named = [name for part in parts for name in part.program_names]
    with _one_at_a_time(layout):
        programs = named if names else processes.known_programs(layout, named)
        running = [name for name in programs if processes.exists(name, layout)]
        _stop_all([name for name in programs if name in OURS], layout)
        _stop_all([name for name in programs if name not in OURS], layout)
        for part in parts:
            _sweep(part)
        if not names:
            _forget(layout)
    return running


def status(settings: Settings, names: Sequence[str] = ()) -> list[PartStatus]:
    """How the named parts are, or all."""
    layout = Layout.of(settings)
    return [part_status(part, layout) for part in parts_of(settings, names)]


def reports(settings: Settings, statuses: Sequence[PartStatus]) -> list[str]:
    """Of each part that isn't well: what became of it, with the last lines of its log."""
    layout = Layout.of(settings)
    by_name = {part.name: part for part in parts_of(settings)}
    return [
        failure_report(by_name[one.name], one, layout)
        for one in statuses
        if one.state in {State.DIED, State.UNWELL, State.UNREACHABLE}
    ]


def part_status(part: Part, layout: Layout) -> PartStatus:
    """How one part is now."""
    if part.external:
        trouble = part.trouble()
        state = State.UNREACHABLE if trouble else State.EXTERNAL
        return PartStatus(name=part.name, state=state, address=part.address, detail=trouble)
    records = {name: processes.read_record(name, layout) for name in part.program_names}
    state, detail = _state(part, layout, records)
    known = [record for record in records.values() if record is not None]
    living = state in {State.RUNNING, State.STARTING, State.UNWELL}
    return PartStatus(
        name=part.name,
        state=state,
        address=part.address,
        detail=detail,
        pids=tuple(record.pid for record in known if record.exit_code is None),
        restarts=sum(record.restarts for record in known),
        memory_mb=sum(processes.memory_bytes(record.pid) for record in known) >> 20,
        up_s=_age_s(known) if living else 0.0,
    )


def _state(
    part: Part, layout: Layout, records: Mapping[str, processes.Record | None]
) -> tuple[State, str]:
    if not any(records.values()):
        return State.STOPPED, ""
    dead = [name for name in records if not processes.is_running(name, layout)]
    if dead:
        return State.DIED, "; ".join(_obituary(name, records[name]) for name in dead)
    trouble = part.trouble()
    if not trouble:
        return State.RUNNING, "; ".join(_comebacks(records))
    young = _age_s([record for record in records.values() if record]) < START_LIMIT_S
    may_pass = young and not part.hopeless(trouble)
    return (State.STARTING if may_pass else State.UNWELL), trouble


def _obituary(name: str, record: processes.Record | None) -> str:
    if record is None:
        return f"{name} was not started"
    if record.exit_code is None or record.ended_ms is None:
        return f"{name} vanished together with its keeper (process {record.keeper})"
    return f"{name} {_end(record.exit_code, record.ended_ms)}"


def _comebacks(records: Mapping[str, processes.Record | None]) -> Iterator[str]:
    for name, record in records.items():
        if record is not None and record.last_code is not None and record.last_end_ms is not None:
            yield f"{name} {_end(record.last_code, record.last_end_ms)}, and came back"


def _end(code: int, ended_ms: int) -> str:
    when = datetime.fromtimestamp(ended_ms / 1000, UTC).strftime("%H:%M:%S UTC")
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"{how} at {when}"


def _age_s(records: Sequence[processes.Record]) -> float:
    began_ms = max(
        max(record.started_ms, record.restarted_ms, record.last_end_ms or 0) for record in records
    )
    return time.time() - began_ms / 1000


def _refuse_taken_ports(parts: Sequence[Part], layout: Layout) -> None:
    """Refuse before anything is started, and name every port that is in the way at once."""
    taken: list[str] = []
    for part in parts:
        if not part.external and not any(processes.exists(n, layout) for n in part.program_names):
            taken += taken_ports(part.ports)
    if taken:
        raise StackError("\n".join(taken))


def write_settings(settings: Settings, layout: Layout) -> None:
    """Keep the settings in force for the processes of the stack; only the owner may read them."""
    placed = settings.model_copy(update={"data_dir": layout.data, "cache_dir": layout.cache})
    layout.settings_file.touch(mode=0o600)
    layout.settings_file.write_text("\n".join(toml_lines(revealed(placed))) + "\n")


def _start_and_wait(
    parts: Sequence[Part], layout: Layout, *, progress: Progress, limit_s: float
) -> list[PartStatus]:
    if not parts:
        return []
    with _one_at_a_time(layout), ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: _start(part, layout), parts))
    return _wait_until_well(parts, layout, progress=progress, limit_s=limit_s)


def _start(part: Part, layout: Layout) -> None:
    """Start what of a part doesn't run; prepare only while nothing of it runs."""
    if part.external or all(processes.is_running(n, layout) for n in part.program_names):
        return
    if not any(processes.is_running(name, layout) for name in part.program_names):
        _sweep(part)
        part.prepare()
    for program in part.programs():
        if not processes.is_running(program.name, layout):
            processes.stop(program.name, layout)
            processes.start(program, layout)


def _wait_until_well(
    parts: Sequence[Part], layout: Layout, *, progress: Progress, limit_s: float
) -> list[PartStatus]:
    until = time.monotonic() + limit_s
    seen: dict[str, PartStatus] = {}
    while True:
        for part in parts:
            if part.name not in seen or seen[part.name].state is State.STARTING:
                seen[part.name] = part_status(part, layout)
                progress(seen[part.name])
        waiting = any(one.state is State.STARTING for one in seen.values())
        if not waiting or time.monotonic() > until:
            break
        time.sleep(POLL_S)
    _raise_for_failures(parts, seen, layout, limit_s=limit_s)
    return list(seen.values())


def _raise_for_failures(
    parts: Sequence[Part], seen: Mapping[str, PartStatus], layout: Layout, *, limit_s: float
) -> None:
    failures = [
        failure_report(part, seen[part.name], layout, limit_s=limit_s)
        for part in parts
        if seen[part.name].state not in {State.RUNNING, State.EXTERNAL}
    ]
    if failures:
        raise StackError("\n\n".join(failures))


def failure_report(part: Part, seen: PartStatus, layout: Layout, *, limit_s: float = 0.0) -> str:
    """What became of a part, and the last lines of the logs that tell why."""
    if part.external:
        return (
            f"{part.name} is set to be an existing one at {part.address}, which isn't reachable: "
            f"{seen.detail}; start it, or unset its `external` setting to have one started here"
        )
    late = f"not well within {limit_s:.0f} s: " if seen.state is State.STARTING else ""
    dead = [name for name in part.program_names if not processes.is_running(name, layout)]
    tails = [_tail_report(name, layout) for name in dead or part.program_names]
    return "\n".join([f"{part.name}: {late}{seen.detail}", *tails])


def _tail_report(name: str, layout: Layout) -> str:
    tail = processes.log_tail(layout, name) or "(it wrote nothing)"
    return f"the last lines of {layout.log(name)}:\n{textwrap.indent(tail, '    ')}"


def _stop_all(programs: Sequence[str], layout: Layout) -> None:
    if programs:
        with ThreadPoolExecutor(len(programs)) as pool:
            list(pool.map(lambda name: processes.stop(name, layout), programs))


def _sweep(part: Part) -> None:
    """Remove what a server that was killed left outside the data directory."""
    for pattern in part.debris:
        for file in glob.glob(pattern):  # noqa: PTH207 (an absolute pattern)
            Path(file).unlink(missing_ok=True)


def _forget(layout: Layout) -> None:
    """Remove what only matters while a stack runs."""
    layout.settings_file.unlink(missing_ok=True)
    shutil.rmtree(layout.run, ignore_errors=True)


@contextlib.contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    """Let one command at a time start or stop programs.

    The kernel drops the lock with the process that holds it. Its file goes with `run/` in a full
    `down`, so whoever waited for it looks whether it is still the file that is there.
    """
    while True:
        layout.run.mkdir(parents=True, exist_ok=True)
        path = layout.run / "command.lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield
                return
