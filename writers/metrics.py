"""What the writers tell about themselves: a Prometheus page and a health page."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


class Metrics:
    """The series of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = self._counter("records", "Records written.", "store", "topic")
        self.replaced = self._counter(
            "replaced", "Records that newer ones replaced before they were written.", "store"
        )
        self.errors = self._counter("errors", "Writes that failed and are repeated.", "store")
        self.dead_letters = self._counter(
            "dead_letters", "Messages that could not be used.", "store", "reason"
        )
        self.batch_size = self._histogram("batch_size", "Records of a write.", SIZES, "store")
        self.write_seconds = self._histogram("write_seconds", "A write.", SECONDS, "store")
        self.freshness = self._histogram(
            "freshness_seconds",
            "From Kafka's taking an event (a vector: the update) to its being in the store.",
            SECONDS,
            "store",
            "topic",
        )
        self.lag = self._gauge("lag", "Messages that wait in Kafka.", "store", "topic")
        self.store_up = self._gauge("store_up", "1 while the store takes writes.", "store")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"freshet_writers_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"freshet_writers_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            f"freshet_writers_{name}", text, labels, buckets=buckets, registry=self.registry
        )


Health = Callable[[], tuple[bool, dict[str, Any]]]


@contextmanager
def pages(metrics: Metrics, health: Health, *, port: int) -> Iterator[None]:
    """Serve /metrics and /healthz from a thread of their own meanwhile."""
    server = ThreadingHTTPServer(("", port), _handler(metrics, health))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _handler(metrics: Metrics, health: Health) -> type[BaseHTTPRequestHandler]:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
            elif self.path == "/healthz":
                is_well, detail = health()
                status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, "application/json", json.dumps(detail).encode())
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"see /metrics and /healthz\n")

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests for metrics are no news."""

    return Pages
