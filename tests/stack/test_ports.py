import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from settings import Settings
from stack import milvus
from stack.lifecycle import parts_of
from stack.ports import MILVUS_INNER_PORTS, free_ports, holder, is_free, taken_ports


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_a_port_is_free_until_someone_listens(listener: socket.socket) -> None:
    port = port_of(listener)
    assert not is_free(port)
    listener.close()
    assert is_free(port)


def test_a_taken_port_is_named_with_its_holder_and_what_to_do(listener: socket.socket) -> None:
    port = port_of(listener)
    (sentence,) = taken_ports({"kafka.port": port})
    name, where = psutil.Process().name(), Path.cwd()
    holder_seen = f"process {os.getpid()} ({name}, running in {where})"
    assert sentence.startswith(f"port {port} (kafka.port) is taken by {holder_seen}; ")
    assert sentence.endswith(
        "stop that, or choose another port: kafka.port in freshet.toml, or FRESHET_KAFKA__PORT"
    )


def test_a_port_of_a_row_is_named_by_the_setting_of_the_row(listener: socket.socket) -> None:
    (sentence,) = taken_ports({"milvus.inner_port + 3": port_of(listener)})
    assert "(milvus.inner_port + 3)" in sentence
    assert sentence.endswith("milvus.inner_port in freshet.toml, or FRESHET_MILVUS__INNER_PORT")


def test_free_ports_have_nobody_to_name() -> None:
    settings = free_ports(Settings())
    assert taken_ports({"kafka.port": settings.kafka.port}) == []


def test_the_holder_of_a_free_port_cannot_be_seen() -> None:
    assert holder(free_ports(Settings()).kafka.port) == "a process that can't be seen from here"


def test_free_ports_are_free_and_each_its_own_rows_included() -> None:
    settings = free_ports(Settings())
    ports = [port for part in parts_of(settings) for port in part.ports.values()]
    assert len(set(ports)) == len(ports) >= 9 + 3 + 12
    assert all(is_free(port) for port in ports)


def test_free_ports_step_over_a_taken_one(listener: socket.socket) -> None:
    class Chance(random.Random):
        def randrange(self, *_: object) -> int:
            return port_of(listener)

    assert free_ports(Settings(), chance=Chance()).kafka.port > port_of(listener)


def test_free_ports_change_nothing_else() -> None:
    settings = Settings.model_validate({"flink": {"taskmanagers": 5}, "redis": {"timeout_ms": 7}})
    free = free_ports(settings)
    assert free.flink.taskmanagers == 5
    assert free.redis.timeout_ms == 7
    assert free.kafka.port != settings.kafka.port


def test_milvus_has_as_many_inner_ports_as_are_kept_free() -> None:
    assert len(milvus.INNER_SERVICES) == MILVUS_INNER_PORTS


def test_no_two_default_ports_are_the_same() -> None:
    ports = [port for part in parts_of(Settings()) for port in part.ports.values()]
    assert len(set(ports)) == len(ports)
