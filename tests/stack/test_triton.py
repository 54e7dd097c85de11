"""What `freshet stack status` says of Triton follows from each model that it was told to load."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from settings import Settings
from stack import triton
from stack.layout import Layout
from stack.part import Part

READY = {"name": "ranker", "version": "1", "state": "READY", "reason": ""}
UNLOADED = {"name": "ranker", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}
LOADING = {"name": "emotion", "version": "1", "state": "LOADING", "reason": ""}
FAILED = {
    "name": "emotion",
    "version": "1",
    "state": "UNAVAILABLE",
    "reason": "Internal: no file\n\nAt:\n  model.py(3)",
}
EMOTION = {"name": "emotion", "version": "1", "state": "READY"}


@contextmanager
def saying(index: object) -> Iterator[int]:
    """A server that is ready, and has these models."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(json.dumps(index).encode() if self.path == "/v2/repository/index" else b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def part(layout: Layout, port: int) -> Part:
    told = {"http_port": port, "models": "ranker,emotion"}
    return triton.part(Settings.model_validate({"triton": told}), layout)


@pytest.mark.parametrize(
    ("index", "trouble", "hopeless"),
    [
        ([READY, EMOTION], "", False),
        ([READY, UNLOADED, EMOTION], "", False),
        ([READY, LOADING], "model emotion: loading", False),
        ([READY], "model emotion: loading", False),
        ([READY, FAILED], "model emotion isn't loaded: Internal: no file At: model.py(3)", True),
        ([UNLOADED, EMOTION], "model ranker isn't loaded: unloaded", True),
        ([UNLOADED], "model ranker isn't loaded: unloaded; model emotion: loading", True),
    ],
)
def test_a_model_that_is_not_ready_is_named(
    layout: Layout, index: object, trouble: str, *, hopeless: bool
) -> None:
    with saying(index) as port:
        found = part(layout, port)
        assert found.trouble() == trouble
    assert found.hopeless(trouble) is hopeless


def test_a_server_that_is_not_there_may_still_come(layout: Layout) -> None:
    found = part(layout, 1)
    assert "/v2/health/ready: connection refused" in found.trouble()
    assert not found.hopeless(found.trouble())
