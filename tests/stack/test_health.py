import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from stack.health import (
    http_json,
    http_trouble,
    kafka_trouble,
    redis_trouble,
    split_address,
    tcp_trouble,
)


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives everyone the same answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_once, args=(server, answer))
        thread.start()
        yield server.getsockname()[1]
        thread.join(timeout=5)


def _answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(answer)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"+PONG\r\n", ""),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
        (b"-NOAUTH Authentication required.\r\n", "NOAUTH"),
    ],
)
def test_redis(answer: bytes, trouble: str) -> None:
    with answering(answer) as port:
        said = redis_trouble(port)
    assert trouble in said
    assert bool(said) == bool(trouble)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (struct.pack(">iii", 100, 1, 1), ""),
        (struct.pack(">iii", 100, 1, 0), "the broker isn't part of its cluster yet"),
        (b"short", "no answer to a metadata request"),
    ],
)
def test_kafka(answer: bytes, trouble: str) -> None:
    with answering(answer) as port:
        said = kafka_trouble(port)
    assert said.startswith(trouble)
    assert bool(said) == bool(trouble)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", ""),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"", "remote end closed connection"),
    ],
)
def test_http(answer: bytes, trouble: str) -> None:
    with answering(answer) as port:
        said = http_trouble(f"127.0.0.1:{port}", "/healthz")
    assert trouble in said
    assert bool(said) == bool(trouble)


def test_json_page() -> None:
    with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}') as port:
        assert http_json(f"127.0.0.1:{port}", "/") == {"a": 1}


@pytest.mark.parametrize("check", [redis_trouble, kafka_trouble])
def test_nobody_there(check: Callable[[int], str], closed_port: int) -> None:
    assert "connection refused" in check(closed_port)


def test_tcp(closed_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert tcp_trouble(f"127.0.0.1:{server.getsockname()[1]}", default_port=1) == ""
    said = tcp_trouble(f"127.0.0.1:{closed_port}", default_port=1)
    assert said == f"no connection to 127.0.0.1:{closed_port} (connection refused)"


@pytest.mark.parametrize(
    ("address", "split"),
    [
        ("host", ("host", 7)),
        ("host:1", ("host", 1)),
        ("a:1, b:2", ("a", 1)),
        ("http://host:5/path", ("host", 5)),
        ("rediss://user:pass@host", ("host", 7)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_split_address(address: str, split: tuple[str, int]) -> None:
    assert split_address(address, default_port=7) == split
