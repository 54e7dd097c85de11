"""How long an acknowledgement of feedback takes, at fixed rates, and where the time goes.

Requests leave when they are due, whether or not answers to earlier ones have come, from a process
of its own with a light client; a request's time counts from when it was due. Each is by another
user about another item, and half of them have an Idempotency-Key. Beside them stand the calls that
no acknowledgement could do without: a message that Kafka confirms, and two round trips to Redis,
with the same clients at the same rate.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.light_client import LightClient
from bench.open_loop import Figures, Shot, open_loop, spread
from bench.result import save
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from serving.clients import LOG_DEADLINE_S
from settings import Settings, load_settings
from stack.local import LocalStack
from stores.event_log import EventLog
from stores.feedback_memory import Deed, FeedbackMemory

PARTS = ("kafka", "valkey")
WARM_UP = 300
PATIENCE_MS = 10_000


def main() -> None:
    """Measure, print and keep the result."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        stack = LocalStack.beside(base, data_dir=Path(directory))
        try:
            stack.up(*PARTS)
            stack.freshet("topics", "create")
            stack.up("api")
            figures = _measured(stack, options)
        finally:
            stack.down()
    _print(figures)
    print(save("feedback", {**figures, "seconds": options.seconds, "note": options.note}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.feedback", description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    return parser.parse_args()


def _measured(stack: LocalStack, options: argparse.Namespace) -> dict[str, object]:
    settings, pid = stack.settings, stack.pid("api")
    by_rate: dict[str, object] = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as aside:
        for rate in options.rates:
            before_s = _cpu_s(pid)
            service = aside.submit(in_own_loop, "service", settings, rate, options.seconds)
            requests = WARM_UP + round(rate * options.seconds)
            by_rate[str(rate)] = {
                "service_ms": service.result(),
                "service_cpu_ms": round(1000 * (_cpu_s(pid) - before_s) / requests, 3),
                "bare_calls_ms": aside.submit(
                    in_own_loop, "bare", settings, rate, options.seconds
                ).result(),
                "load_1min": round(os.getloadavg()[0], 1),
            }
    return {"by_requests_per_s": by_rate, "stages_ms": asyncio.run(_stages(settings))}


def _cpu_s(pid: int) -> float:
    """Seconds that all threads have run, exactly: those of psutil count whole ticks."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text("ascii").split()[0]) for one in tasks) / 1e9


def in_own_loop(kind: str, settings: Settings, rate: int, seconds: float) -> Figures:
    """Runs in a process of its own."""
    sys.setswitchinterval(0.0005)
    shoot = {"service": _service, "bare": _bare}[kind]
    return uvloop.run(shoot(settings, rate, seconds))


async def _service(settings: Settings, rate: int, seconds: float) -> Figures:
    client = LightClient(settings.serving.host, settings.serving.port)

    async def shot(number: int) -> None:
        headers = {"Idempotency-Key": f"{time.time_ns()}"} if number % 2 else {}
        answer = await client.post("/v1/feedback", _body(number), headers=headers)
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {answer.body.decode()}")

    try:
        return await _measured_shots(shot, rate=rate, seconds=seconds)
    finally:
        client.close()


def _body(number: int) -> bytes:
    return json.dumps(
        {
            "user_id": f"u{number % 5_000}",
            "session_id": f"s{number % 5_000}",
            "request_id": f"r{number}-{time.time_ns()}",
            "feedback": [{"item_id": f"i{number % 997}", "action": "click", "position": 3}],
        }
    ).encode()


async def _bare(settings: Settings, rate: int, seconds: float) -> Figures:
    url, bootstrap = settings.redis.url, settings.kafka.bootstrap
    log = EventLog(bootstrap, client_id="bench", deadline_s=LOG_DEADLINE_S)
    async with FeedbackMemory(url, timeout_ms=PATIENCE_MS) as memory:

        async def shot(number: int) -> None:
            user = f"b{number % 5_000}"
            deeds = [Deed(user, f"i{number % 997}", "click")]
            await memory.recall(deeds, user_id=user, idempotency_key=None)
            await log.append(USER_EVENTS, user, _event(user, number))
            await memory.remember(
                deeds, user_id=user, request_id="r", idempotency_key=None, answer=b""
            )

        told = await _measured_shots(shot, rate=rate, seconds=seconds)
    await asyncio.to_thread(log.close)
    return told


def _event(user: str, number: int) -> UserEvent:
    return UserEvent(
        event_id=f"{user}-{time.time_ns()}",
        user_id=user,
        event_type="click",
        timestamp_ms=time.time_ns() // 1_000_000,
        item_id=f"i{number % 997}",
    )


async def _measured_shots(shot: Shot, *, rate: int, seconds: float) -> Figures:
    for number in range(WARM_UP):
        await shot(-number - 1)
    return spread(await open_loop(shot, rate=rate, count=round(rate * seconds)))


async def _stages(settings: Settings) -> dict[str, dict[str, float]]:
    """What the service itself says its servers took, on the mean and by its histogram."""
    client = LightClient(settings.serving.host, settings.serving.port)
    page = (await client.get("/metrics")).body.decode()
    client.close()
    sums: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith(("freshet_dependency_seconds_", "freshet_http_seconds_")):
            name, _, value = line.rpartition(" ")
            if "_sum{" in name or "_count{" in name:
                sums[name] = float(value)
    return {
        name: {
            "calls": count,
            "mean": round(1000 * sums[name.replace("_count", "_sum")] / count, 3),
        }
        for name, count in sums.items()
        if "_count{" in name and count
    }


def _print(figures: Mapping[str, object]) -> None:
    by_rate = figures["by_requests_per_s"]
    assert isinstance(by_rate, dict)
    table = Table("requests/s", "what", "p50", "p95", "p99", "max", title="ms to a 202")
    for rate, spreads in by_rate.items():
        for name in ("service_ms", "bare_calls_ms"):
            table.add_row(rate, name, *(f"{value:.2f}" for value in spreads[name].values()))
        print(f"{rate}/s: {spreads['service_cpu_ms']} ms of CPU a request")
    Console().print(table)
    print(json.dumps(figures["stages_ms"], indent=1))


if __name__ == "__main__":
    main()
