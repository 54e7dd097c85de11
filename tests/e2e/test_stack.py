"""The real servers: how they start, die, come back and go."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from settings import Settings, load_settings
from settings.load import ENV_PREFIX
from stack import lifecycle, processes
from stack.lifecycle import State
from stack.local import LocalStack
from stack.ports import is_free

pytestmark = pytest.mark.e2e

SERVERS = ("kafka", "valkey", "milvus", "triton", "flink")


@pytest.fixture
def second(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack beside the shared one; nothing of it is started yet."""
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path / "data")
    yield local
    local.down()


def eventually(condition: Callable[[], bool], *, within_s: float) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, f"it did not come about within {within_s} s"
        time.sleep(0.1)


def living_processes(stack: LocalStack) -> list[str]:
    """All that bears the stack's mark, or has its directory on the command line."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline", "status"]):
        mark = (process.info["environ"] or {}).get(processes.MARK, "")
        named = any(str(stack.layout.data) in word for word in process.info["cmdline"] or [])
        marked = mark.startswith(f"{stack.layout.data}#")
        if (marked or named) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"{process.pid} {process.info['cmdline']}")
    return found


def taken_ports_of(stack: LocalStack) -> list[int]:
    parts = lifecycle.parts_of(stack.settings)
    return [port for part in parts for port in part.ports.values() if not is_free(port)]


def valkey(stack: LocalStack, command: str) -> bytes:
    with socket.create_connection(("127.0.0.1", stack.settings.redis.port), timeout=5) as server:
        server.sendall(f"{command}\r\n".encode())
        return server.recv(1000)


def test_every_server_is_well_and_says_so(stack: LocalStack) -> None:
    done = stack.freshet("stack", "status", "--json", *SERVERS)
    found = {part["name"]: part for part in json.loads(done.stdout)}
    assert {name: part["state"] for name, part in found.items()} == dict.fromkeys(
        SERVERS, "running"
    )
    assert all(part["memory_mb"] > 0 for part in found.values())


def test_up_again_changes_nothing(stack: LocalStack) -> None:
    before = [stack.pid(name) for name in ("kafka", "valkey", "milvus", "triton", "jobmanager")]
    stack.freshet("stack", "up")
    after = [stack.pid(name) for name in ("kafka", "valkey", "milvus", "triton", "jobmanager")]
    assert after == before


def test_a_killed_taskmanager_comes_back_by_itself(stack: LocalStack) -> None:
    before = stack.status("flink").restarts
    killed = stack.kill("taskmanager-1")
    eventually(lambda: stack.status("flink").restarts > before, within_s=10)
    eventually(lambda: stack.status("flink").state is State.RUNNING, within_s=30)
    assert stack.pid("taskmanager-1") != killed


@pytest.mark.parametrize("part", ["valkey", "triton", "milvus", "kafka", "jobmanager"])
def test_a_killed_server_comes_back_by_itself_and_says_so(stack: LocalStack, part: str) -> None:
    name = "flink" if part == "jobmanager" else part
    killed = stack.kill(part)
    eventually(lambda: stack.status(name).state is not State.RUNNING, within_s=5)
    eventually(lambda: stack.status(name).state is State.RUNNING, within_s=90)
    assert stack.pid(part) != killed
    done = stack.freshet("stack", "status", name)
    assert f"{part} was killed by signal 9" in done.stdout
    assert "and came back" in done.stdout


def test_what_valkey_holds_outlives_down_and_up(stack: LocalStack) -> None:
    assert valkey(stack, "SET kept yes") == b"+OK\r\n"
    stack.down("valkey")
    stack.up("valkey")
    assert valkey(stack, "GET kept") == b"$3\r\nyes\r\n"
    assert valkey(stack, "DEL kept") == b":1\r\n"


def test_the_logs_of_a_part(stack: LocalStack) -> None:
    assert "Kafka Server started" in stack.freshet("stack", "logs", "kafka", "-n", "500").stdout


def test_a_second_stack_runs_beside_the_first_and_leaves_nothing(
    stack: LocalStack, second: LocalStack
) -> None:
    second.up("kafka", "valkey", "milvus", "triton")
    assert stack.status("milvus").state is State.RUNNING
    second.down()
    assert living_processes(second) == []
    assert taken_ports_of(second) == []
    assert not second.layout.run.exists()
    assert stack.status("kafka").state is State.RUNNING


@pytest.mark.parametrize("after_s", [0.3, 1.0, 2.5])
def test_an_up_that_is_killed_midway_leaves_nothing_that_down_does_not_find(
    second: LocalStack, tmp_path: Path, after_s: float
) -> None:
    with _up_in_background(second, tmp_path, "kafka", "valkey", "flink") as command:
        time.sleep(after_s)
        command.send_signal(signal.SIGKILL)
    second.down()
    # A child of a killed command (formatting Kafka's storage) ends by itself.
    eventually(lambda: living_processes(second) == [], within_s=10)
    assert taken_ports_of(second) == []


def test_an_up_after_a_killed_one_finishes_its_work(second: LocalStack, tmp_path: Path) -> None:
    with _up_in_background(second, tmp_path, "kafka", "valkey") as command:
        eventually(lambda: second.layout.record("valkey").exists(), within_s=20)
        command.send_signal(signal.SIGKILL)
    first = second.pid("valkey")
    second.up("kafka", "valkey")
    assert second.pid("valkey") == first
    assert second.status("kafka").state is State.RUNNING


def test_down_finds_everything_after_every_keeper_was_killed(second: LocalStack) -> None:
    second.up("kafka", "valkey")
    for name in ("kafka", "valkey"):
        record = processes.read_record(name, second.layout)
        assert record is not None
        os.kill(record.keeper, signal.SIGKILL)
    second.down()
    assert living_processes(second) == []
    assert taken_ports_of(second) == []


def test_a_port_taken_by_a_foreign_process_is_named(second: LocalStack, tmp_path: Path) -> None:
    port = second.settings.redis.port
    with (
        socket.create_server(("127.0.0.1", port)),
        _up_in_background(second, tmp_path, "valkey", "kafka") as command,
    ):
        _, said = command.communicate(timeout=60)
    assert command.returncode == 1
    assert f"port {port} (redis.port) is taken by process {os.getpid()} (" in said
    assert "FRESHET_REDIS__PORT" in said
    assert living_processes(second) == []


def _up_in_background(stack: LocalStack, directory: Path, *parts: str) -> "subprocess.Popen[str]":
    """`freshet stack up` as a process that can be killed; its settings in a file of the test's."""
    stack.layout.data.mkdir(parents=True, exist_ok=True)
    lifecycle.write_settings(stack.settings, stack.layout)
    config = stack.config_file.rename(directory / "second.toml")
    environ = {name: v for name, v in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.Popen(
        [sys.executable, "-m", "freshet", f"--config={config}", "stack", "up", *parts],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
