"""Up, down and status over small parts that are real processes on real ports."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from settings import Settings, load_settings
from stack import lifecycle, processes
from stack.health import http_trouble
from stack.layout import Layout
from stack.lifecycle import PartStatus, State
from stack.part import Part, Program, StackError
from stack.ports import free_ports, is_free

SERVE = (
    "import http.server as h; "
    "h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
)
DIE = "print('no space left'); raise SystemExit(3)"


def web_part(
    name: str, code: str, *, late: bool = False, external: str = "", restart: bool = False
) -> lifecycle.Maker:
    """A part that serves a directory over HTTP, or does what `code` says."""

    def make(settings: Settings, layout: Layout) -> Part:
        port = settings.kafka.port if name == "one" else settings.redis.port
        argv = (sys.executable, "-u", "-c", code.format(port=port))
        return Part(
            name=name,
            address=external or f"127.0.0.1:{port}",
            external=bool(external),
            ports={f"{name}.port": port},
            program_names=(name,),
            programs=lambda: (Program(name=name, argv=argv, cwd=layout.data, restart=restart),),
            trouble=lambda: http_trouble(external or f"127.0.0.1:{port}", "/"),
            needs_servers=late,
            debris=(f"{layout.data}-debris/*",),
        )

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = free_ports(Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache"))
    yield settings
    for name in ("one", "two"):
        processes.stop(name, Layout.of(settings))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts small parts in the place of the real ones."""
    return lambda **makers: monkeypatch.setattr(lifecycle, "MAKERS", makers)


def states(settings: Settings) -> dict[str, State]:
    return {one.name: one.state for one in lifecycle.status(settings)}


def test_up_status_down(settings: Settings, parts: Callable[..., None]) -> None:
    parts(one=web_part("one", SERVE), two=web_part("two", SERVE, late=True))
    assert states(settings) == {"one": State.STOPPED, "two": State.STOPPED}
    seen = lifecycle.up(settings, ["one", "two"])
    assert [one.state for one in seen] == [State.RUNNING, State.RUNNING]
    assert states(settings) == {"one": State.RUNNING, "two": State.RUNNING}
    assert lifecycle.status(settings, ["one"])[0].memory_mb > 5
    assert lifecycle.down(settings) == ["one", "two"]
    assert states(settings) == {"one": State.STOPPED, "two": State.STOPPED}
    assert not Layout.of(settings).run.exists()
    assert not Layout.of(settings).settings_file.exists()


def test_up_is_idempotent(settings: Settings, parts: Callable[..., None]) -> None:
    parts(one=web_part("one", SERVE))
    first = lifecycle.up(settings, ["one"])
    again = lifecycle.up(settings, ["one"])
    assert again[0].pids == first[0].pids


def test_two_ups_at_once_start_one(settings: Settings, parts: Callable[..., None]) -> None:
    parts(one=web_part("one", SERVE))
    found: list[PartStatus] = []
    threads = [
        threading.Thread(target=lambda: found.extend(lifecycle.up(settings, ["one"])))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.pids for one in found}) == 1
    assert len(found) == 4


def test_down_where_nothing_ever_ran(settings: Settings) -> None:
    assert lifecycle.down(settings) == []
    assert not settings.data_dir.exists()


def test_down_of_one_part_leaves_the_other(settings: Settings, parts: Callable[..., None]) -> None:
    parts(one=web_part("one", SERVE), two=web_part("two", SERVE))
    lifecycle.up(settings, ["one", "two"])
    lifecycle.down(settings, ["one"])
    assert states(settings) == {"one": State.STOPPED, "two": State.RUNNING}


def test_down_stops_what_other_settings_started(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE), two=web_part("two", SERVE))
    lifecycle.up(settings, ["one", "two"])
    parts(one=web_part("one", SERVE))
    assert lifecycle.down(settings) == ["one", "two"]


def test_a_part_that_dies_at_its_start_is_reported_with_its_last_lines(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE), two=web_part("two", DIE))
    with pytest.raises(StackError) as caught:
        lifecycle.up(settings, ["one", "two"])
    said = str(caught.value)
    assert said.startswith("two: two ended with exit code 3 at ")
    assert said.endswith(f"the last lines of {Layout.of(settings).log('two')}:\n    no space left")
    assert states(settings) == {"one": State.RUNNING, "two": State.DIED}


def test_a_part_that_dies_later_is_reported_and_can_be_brought_back(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE))
    pid = lifecycle.up(settings, ["one"])[0].pids[0]
    os.kill(pid, signal.SIGKILL)
    _until(lambda: states(settings)["one"] is State.DIED)
    (report,) = lifecycle.reports(settings, lifecycle.status(settings))
    assert report.startswith("one: one was killed by signal 9 at ")
    assert lifecycle.up(settings, ["one"])[0].state is State.RUNNING


def test_a_part_that_comes_back_by_itself_says_what_ended_it(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE, restart=True))
    pid = lifecycle.up(settings, ["one"])[0].pids[0]
    os.kill(pid, signal.SIGKILL)
    _until(lambda: states(settings)["one"] is State.STARTING)
    _until(lambda: states(settings)["one"] is State.RUNNING)
    (one,) = lifecycle.status(settings)
    assert one.restarts == 1
    assert one.detail.startswith("one was killed by signal 9 at ")
    assert one.detail.endswith(", and came back")


def test_a_part_whose_keeper_was_killed_is_reported_and_can_be_brought_back(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE))
    lifecycle.up(settings, ["one"])
    record = processes.read_record("one", Layout.of(settings))
    assert record is not None
    os.kill(record.keeper, signal.SIGKILL)
    _until(lambda: states(settings)["one"] is State.DIED)
    detail = lifecycle.status(settings)[0].detail
    assert detail == f"one vanished together with its keeper (process {record.keeper})"
    assert lifecycle.up(settings, ["one"])[0].state is State.RUNNING


def test_what_outlived_a_dead_part_is_ended_before_it_starts_again(
    settings: Settings, parts: Callable[..., None]
) -> None:
    serve = SERVE.format(port=settings.kafka.port)
    leaves_a_server = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {serve!r}], "
        "start_new_session=True); raise SystemExit(1)"
    )
    parts(one=web_part("one", leaves_a_server))
    with pytest.raises(StackError, match="exit code 1"):
        lifecycle.up(settings, ["one"])
    (orphan,) = processes.leftovers("one", Layout.of(settings))
    _until(lambda: not is_free(settings.kafka.port))
    parts(one=web_part("one", SERVE))
    lifecycle.up(settings, ["one"])
    assert not orphan.is_running()


def test_a_part_that_is_not_well_in_time_is_reported(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", "import time; print('thinking'); time.sleep(60)"))
    with pytest.raises(StackError, match=r"one: not well within 1 s: .*refused(.|\n)*thinking"):
        lifecycle.up(settings, ["one"], limit_s=1)


def test_a_part_that_stays_unwell_is_called_so(
    settings: Settings, parts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(one=web_part("one", "import time; time.sleep(60)"))
    monkeypatch.setattr(lifecycle, "START_LIMIT_S", 0.5)
    with pytest.raises(StackError, match="one: http"):
        lifecycle.up(settings, ["one"])
    assert states(settings) == {"one": State.UNWELL}


def test_a_trouble_that_waiting_does_not_end_is_not_waited_for(
    settings: Settings, parts: Callable[..., None]
) -> None:
    made = web_part("one", "import time; time.sleep(60)")
    parts(one=lambda *told: replace(made(*told), hopeless=lambda trouble: "refused" in trouble))
    began = time.monotonic()
    with pytest.raises(StackError, match="one: http"):
        lifecycle.up(settings, ["one"])
    assert time.monotonic() - began < lifecycle.START_LIMIT_S / 4


def test_a_taken_port_is_named_and_nothing_is_started(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE), two=web_part("two", SERVE))
    with (
        socket.create_server(("127.0.0.1", settings.redis.port)),
        pytest.raises(StackError, match=f"port {settings.redis.port} .*process {os.getpid()}"),
    ):
        lifecycle.up(settings, ["one", "two"])
    assert states(settings) == {"one": State.STOPPED, "two": State.STOPPED}


def test_an_external_part_is_not_started(settings: Settings, parts: Callable[..., None]) -> None:
    address = f"127.0.0.1:{settings.redis.port}"
    parts(one=web_part("one", DIE, external=address), two=web_part("two", SERVE))
    assert states(settings)["one"] is State.UNREACHABLE
    lifecycle.up(settings, ["two"])
    assert lifecycle.up(settings, ["one"])[0].state is State.EXTERNAL
    assert lifecycle.down(settings) == ["two"]


def test_an_external_part_that_is_not_reachable_says_what_to_do(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", DIE, external=f"127.0.0.1:{settings.redis.port}"))
    with pytest.raises(StackError, match=r"isn't reachable: .*unset its `external` setting"):
        lifecycle.up(settings, ["one"])


def test_an_unknown_part_is_named_with_the_known(settings: Settings) -> None:
    with pytest.raises(StackError, match="kafca: there is no such part; there are: kafka, valkey"):
        lifecycle.up(settings, ["kafca"])


def test_the_settings_in_force_are_kept_for_the_owner_alone(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE))
    secret = Settings.model_validate({"milvus": {"token": "root:pass"}}).milvus.token
    chosen = settings.model_copy(
        update={"milvus": settings.milvus.model_copy(update={"token": secret})}
    )
    lifecycle.up(chosen, ["one"])
    file = Layout.of(chosen).settings_file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_settings(file, environ={}) == chosen


def test_debris_is_swept_by_down(settings: Settings, parts: Callable[..., None]) -> None:
    parts(one=web_part("one", SERVE))
    debris = Path(f"{settings.data_dir}-debris") / "left.pid"
    lifecycle.up(settings, ["one"])
    debris.parent.mkdir()
    debris.touch()
    lifecycle.down(settings)
    assert not debris.exists()


def test_the_lock_of_a_killed_command_binds_nobody(
    settings: Settings, parts: Callable[..., None]
) -> None:
    parts(one=web_part("one", SERVE))
    lock = Layout.of(settings).run / "command.lock"
    lock.parent.mkdir(parents=True)
    holder = (
        "import fcntl, sys, time; lock = open(sys.argv[1], 'w'); "
        "fcntl.flock(lock, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", holder, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"held\n"
        killed.kill()
    assert lifecycle.up(settings, ["one"])[0].state is State.RUNNING


def test_a_status_can_be_written_as_json(settings: Settings, parts: Callable[..., None]) -> None:
    parts(one=web_part("one", SERVE))
    (one,) = lifecycle.up(settings, ["one"])
    assert json.loads(json.dumps({"state": one.state, "pids": one.pids}))["state"] == "running"


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)
