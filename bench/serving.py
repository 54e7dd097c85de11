"""How long an answer takes, whole and by stage, beside the bare calls to its three servers.

Requests leave at a fixed rate, whether or not the answers to earlier ones have come, and a
request's time counts from the moment at which it was due: a service that falls behind can't hide
it. The bare calls are what no service could do without: one read from Redis, two searches in Milvus
at once, one ranking in Triton, with the same clients, at the same rate, in the same run.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.result import save
from bench.seeding import fill
from domain.fusion import lift
from domain.ranking_features import FEATURES
from serving.clients import Clients, opened
from serving.stages.candidates import NEAREST
from settings import Settings, load_settings
from stack.local import LocalStack

PARTS = ("kafka", "valkey", "milvus", "triton")
CANDIDATES = 350
READY_WITHIN_S = 60
WARM_UP = 100
PATIENCE_MS = 10_000

Figures = Mapping[str, float]
Shot = Callable[[int], Awaitable[None]]


def main() -> None:
    """Measure, print and keep the result."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        stack = LocalStack.beside(base, data_dir=Path(directory))
        try:
            stack.up(*PARTS)
            fill(stack.settings, items=options.items, users=options.users)
            stack.up("api")
            figures = asyncio.run(_measured(stack.settings, options))
        finally:
            stack.down()
    _print(figures)
    print(save("serving", {**figures, "items": options.items, "users": options.users}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--users", type=int, default=200)
    return parser.parse_args()


async def _measured(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    url = f"http://{settings.serving.host}:{settings.serving.port}"
    async with (
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        opened(_patient(settings)) as clients,
    ):
        await _ready(client, options.items)
        service = _Service(client, users=options.users)
        bare = _bare(clients, users=options.users)
        for number in range(WARM_UP):
            await service(number)
            await bare(number)
        by_rate: dict[str, object] = {}
        for rate in options.rates:
            service.forget()
            whole = await _open_loop(service, rate=rate, seconds=options.seconds)
            alone = await _open_loop(bare, rate=rate, seconds=options.seconds)
            by_rate[str(rate)] = {
                "service_ms": whole,
                "bare_calls_ms": alone,
                "stages_ms": {name: _spread(ms) for name, ms in service.stages.items()},
                "answers_with_fallbacks": service.lacking,
                "requests": round(rate * options.seconds),
            }
        return {"by_requests_per_s": by_rate}


def _patient(settings: Settings) -> Settings:
    """The bare calls are measured to their end, however late that is."""
    late = {
        name: getattr(settings, name).model_copy(update={"timeout_ms": PATIENCE_MS})
        for name in ("redis", "milvus", "triton")
    }
    return settings.model_copy(update=late)


async def _ready(client: httpx.AsyncClient, items: int) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while (await client.get("/readyz")).json()["catalogue_items"] < items:
        if time.monotonic() > give_up:
            raise SystemExit(f"the service does not know all {items} items; see its log")
        await asyncio.sleep(0.1)


class _Service:
    """One request a call; keeps what the answers say of their stages."""

    def __init__(self, client: httpx.AsyncClient, *, users: int) -> None:
        self.client = client
        self.users = users
        self.forget()

    def forget(self) -> None:
        """Start counting anew."""
        self.stages: dict[str, list[float]] = {}
        self.lacking = 0

    async def __call__(self, number: int) -> None:
        """Ask for a list of twenty."""
        body = {"user_id": f"u{number % self.users:05d}", "session_id": "s"}
        answer = await self.client.post("/v1/personalize", json=body)
        answer.raise_for_status()
        metadata = answer.json()["metadata"]
        self.lacking += bool(metadata["fallbacks"])
        for stage, ms in metadata["stages_ms"].items():
            self.stages.setdefault(stage, []).append(ms)


def _bare(clients: Clients, *, users: int) -> Shot:
    features = np.random.default_rng(1).random((CANDIDATES, len(FEATURES))).astype(np.float32)

    async def shot(number: int) -> None:
        user = await clients.online.user(f"u{number % users:05d}", recent=50)
        assert user.embedding is not None
        vector = lift(user.embedding)
        await asyncio.gather(
            clients.vectors.search_items(vector, NEAREST),
            clients.vectors.search_items(vector, NEAREST),
        )
        await clients.ranker.rank(features)

    return shot


async def _open_loop(shot: Shot, *, rate: float, seconds: float) -> Figures:
    """Milliseconds from when each shot was due until it was done."""
    took: list[float] = []

    async def timed(number: int, due: float) -> None:
        await shot(number)
        took.append((time.perf_counter() - due) * 1000)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as shots:
        for number in range(round(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            shots.create_task(timed(number, due))
    return _spread(took)


def _spread(values: Sequence[float]) -> Figures:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return {
        "p50": round(float(p50), 2),
        "p95": round(float(p95), 2),
        "p99": round(float(p99), 2),
        "max": round(max(values), 2),
    }


def _print(figures: Mapping[str, object]) -> None:
    table = Table("requests/s", "what", "p50", "p95", "p99", "max", title="milliseconds")
    rates = figures["by_requests_per_s"]
    assert isinstance(rates, dict)
    for rate, measured in rates.items():
        rows = {"service": measured["service_ms"], "bare calls": measured["bare_calls_ms"]}
        rows |= {f"  {stage}": spread for stage, spread in measured["stages_ms"].items()}
        for what, spread in rows.items():
            table.add_row(rate, what, *(f"{value:.1f}" for value in spread.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
