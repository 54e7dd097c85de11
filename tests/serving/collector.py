"""A collector of traces: takes OTLP over HTTP, in JSON, and keeps it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass
class Collector:
    """What came, and at which paths."""

    status: int = 200
    port: int = 0
    paths: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        """All of it."""
        return json.dumps(self.sent)

    @property
    def spans(self) -> list[dict[str, Any]]:
        """The spans, with their attributes as a dictionary."""
        return [
            {**span, "told": {one["key"]: value_of(one["value"]) for one in attributes_of(span)}}
            for request in self.sent
            for resource in request["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def named(self, name: str) -> dict[str, Any]:
        """The one span of a name."""
        (found,) = [span for span in self.spans if span["name"] == name]
        return found


def attributes_of(span: dict[str, Any]) -> list[dict[str, Any]]:
    return list(span.get("attributes", ()))


def value_of(value: dict[str, Any]) -> Any:
    """What OTLP wraps by type."""
    ((kind, held),) = value.items()
    return int(held) if kind == "intValue" else held


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.paths.append(self.path)
            if collector.status == 200:
                collector.sent.append(json.loads(body))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
