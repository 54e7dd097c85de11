"""Asks a server whether it is well; each check answers what is wrong, "" when all is well."""

import http.client
import json
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 2.0
KAFKA_METADATA = struct.pack(">hhihi", 3, 1, 1, -1, 0)


def split_address(address: str, *, default_port: int) -> tuple[str, int]:
    """Host and port of `host:port`, of a URL, or of the first of several addresses.

    >>> split_address("redis://:secret@cache:6380/0", default_port=6379)
    ('cache', 6380)
    >>> split_address("a:9092,b:9092", default_port=9092)
    ('a', 9092)
    """
    first = address.split(",")[0].strip()
    parts = urlsplit(first if "://" in first else f"//{first}")
    return parts.hostname or "localhost", parts.port or default_port


def tcp_trouble(address: str, *, default_port: int) -> str:
    """Whether something listens."""
    target = split_address(address, default_port=default_port)
    try:
        socket.create_connection(target, timeout=TIMEOUT_S).close()
    except OSError as error:
        return f"no connection to {target[0]}:{target[1]} ({_reason(error)})"
    return ""


def http_trouble(address: str, path: str) -> str:
    """Whether a page answers 200."""
    try:
        _asked(address, path)
    except (OSError, http.client.HTTPException) as error:
        return f"http://{address}{path}: {_reason(error)}"
    return ""


def http_json(address: str, path: str, *, method: str = "GET") -> Any:
    """The JSON at a page."""
    return json.loads(_asked(address, path, method=method))


def redis_trouble(port: int) -> str:
    """Whether PING is answered; a server that still loads its data says so instead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(200)
    except OSError as error:
        return f"no answer to PING ({_reason(error)})"
    return "" if answer == b"+PONG\r\n" else answer.decode(errors="replace").strip()


def kafka_trouble(port: int) -> str:
    """Whether the broker knows a broker: it answers before it lets clients work."""
    try:
        brokers = _kafka_brokers(port)
    except (OSError, struct.error) as error:
        return f"no answer to a metadata request ({_reason(error)})"
    return "" if brokers > 0 else "the broker isn't part of its cluster yet"


def _kafka_brokers(port: int) -> int:
    """Ask for the metadata of no topics; the count of brokers follows the correlation id."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(KAFKA_METADATA)) + KAFKA_METADATA)
        answer = connection.recv(12, socket.MSG_WAITALL)
    _, _, brokers = struct.unpack(">iii", answer)
    return int(brokers)


def _asked(address: str, path: str, *, method: str = "GET") -> bytes:
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise http.client.HTTPException(f"status {response.status}")
    return body


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__).lower()
