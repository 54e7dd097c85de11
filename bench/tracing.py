"""What traces and the access log cost a request: CPU time of the whole process, exporter included.

The servers are pretended ones in the process, so that nothing else is measured; the collector is a
process of its own. The ways take turns, round by round.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from statistics import quantiles
from time import process_time
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI

from bench.result import save
from freshet.logs import configure
from serving import spans
from serving.app import create_app
from serving.run import configure_logging
from settings import Settings
from tests.serving.pretended import Outside, known_user

USERS = 40
FLUSH = -1
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Way = Callable[[int], Awaitable[None]]


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=25, help="of each round")
    parser.add_argument("--rounds", type=int, default=80)
    asked = parser.parse_args()
    configure("json", private=True)
    logging.getLogger().handlers[0].setStream(open("/dev/null", "w", encoding="utf-8"))  # type: ignore[attr-defined]  # noqa: SIM115, PTH123
    configure_logging()
    with collector() as endpoint:
        figures = asyncio.run(measured(endpoint, requests=asked.requests, rounds=asked.rounds))
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    save("tracing", figures)


async def measured(endpoint: str, *, requests: int, rounds: int) -> Mapping[str, object]:
    """Microseconds of CPU time a request, each way: the first quartile of the rounds.

    Rounds are short, that what else the machine does meets all ways alike, and slows some rounds
    only.
    """
    ways = {
        "as if there were no traces in the code": asking(serve("")),
        "off": asking(serve("")),
        "sample 0.05": asking(serve(endpoint, sample=0.05)),
        "sample 1": asking(serve(endpoint, sample=1)),
        "traceparent of the caller, sampled": asking(serve(endpoint, sample=0), TRACEPARENT),
        "off, access log on": asking(serve("", access_log=True)),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            with no_spans() if name.startswith("as if") else nothing():
                took[name].append(await one_round(way, requests))
        if not number:
            # The first warms up.
            took = {name: [] for name in ways}
    of_each = {name: round(quantiles(one, n=4)[0] * 1e6, 1) for name, one in took.items()}
    return {"requests": requests, "rounds": rounds, "cpu_us_per_request": of_each}


async def one_round(way: Way, requests: int) -> float:
    """Seconds of CPU time a request, with sending what was traced."""
    began = process_time()
    for number in range(requests):
        await way(number)
    await way(FLUSH)
    return (process_time() - began) / requests


def serve(endpoint: str, *, sample: float = 0, access_log: bool = False) -> FastAPI:
    """The interface before pretended servers."""
    settings = Settings.model_validate(
        {
            "serving": {"kept_feedback": 0, "access_log": access_log},
            "tracing": {"endpoint": endpoint, "sample": sample},
        }
    )
    app, outside = create_app(settings), Outside(settings=settings)
    outside.metrics = app.state.metrics
    for number in range(USERS):
        outside.online.users[f"u{number}"] = known_user(user_id=f"u{number}")
    app.state.service = outside.service()
    return app


def asking(app: FastAPI, traceparent: bytes | None = None) -> Way:
    """Lists for users, one after the other, ranked anew each time."""
    headers = [(b"content-type", b"application/json")]
    headers += [(b"traceparent", traceparent)] if traceparent else []

    async def ask(number: int) -> None:
        if number == FLUSH:
            if app.state.tracer:
                app.state.tracer.flush()
            return
        # Another count is another ranking: none is remembered.
        wanted = {"user_id": f"u{number % USERS}", "constraints": {"count": 1 + number % 6}}
        app.state.service.pipeline.rankings._made.clear()  # noqa: SLF001
        await call(app, headers, json.dumps(wanted).encode())

    return ask


async def call(app: FastAPI, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    """A request, past any socket."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/personalize",
        "raw_path": b"/v1/personalize",
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    await app(scope, receive, send)


@contextmanager
def no_spans() -> Iterator[None]:
    """The code as it would be without traces."""

    def silent(*_: object) -> None:
        """Nothing."""

    with patch.multiple(spans, has_stages=silent, begin_call=silent, end_call=silent):
        yield


@contextmanager
def nothing() -> Iterator[None]:
    """The code as it is."""
    yield


@contextmanager
def collector() -> Iterator[str]:
    """A process that takes whatever is sent."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=collect, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}"
    finally:
        process.kill()
        process.join()


def collect(told: Connection) -> None:
    """Take spans, and look at none."""

    class Taker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    told.send(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
