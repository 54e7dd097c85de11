"""How long an answer takes, whole and by stage, beside the bare calls to its three servers.

Requests leave at a fixed rate, whether or not the answers to earlier ones have come, and a
request's time counts from the moment at which it was due: a service that falls behind can't hide
it. They are of two kinds: `anew`, where no request is like an earlier one, so that every ranking is
made for it, and `remembered`, where users who did nothing since ask for the same again. Beside each
kind stand its bare calls, which no service could do without, with the same clients, at the same
rate, in the same run: for the first a user from Redis, a search in Milvus and neighbours from Redis
at once, a ranking in Triton; for the second the versions of the user from Redis.
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
from serving.stages.candidates import LATEST_LIKED, NEAREST
from settings import Settings, load_settings
from stack.local import LocalStack

PARTS = ("kafka", "valkey", "milvus", "triton")
CANDIDATES = 450
CONNECTIONS = 200
# The server closes what is idle for five seconds; who asks at that moment gets no answer.
KEPT_ALIVE_S = 2
# Dearer than anything: such a limit leaves nothing out and makes a request unlike all others.
DEAR = 1_000_000
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
    parser.add_argument("--rates", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=200)
    return parser.parse_args()


async def _measured(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    url = f"http://{settings.serving.host}:{settings.serving.port}"
    limits = httpx.Limits(
        max_connections=CONNECTIONS,
        max_keepalive_connections=CONNECTIONS,
        keepalive_expiry=KEPT_ALIVE_S,
    )
    async with (
        httpx.AsyncClient(base_url=url, timeout=10, limits=limits) as client,
        opened(_patient(settings)) as clients,
    ):
        await _ready(client, options.items)
        kinds = {
            "anew": (_Service(client, users=options.users, anew=True), _bare(clients, options)),
            "remembered": (
                _Service(client, users=options.users, anew=False),
                _versions(clients, options),
            ),
        }
        return {
            kind: {
                "by_requests_per_s": {
                    str(rate): await _at_rate(service, bare, rate, options.seconds)
                    for rate in options.rates
                }
            }
            for kind, (service, bare) in kinds.items()
        }


async def _at_rate(service: "_Service", bare: Shot, rate: int, seconds: float) -> dict[str, object]:
    for number in range(WARM_UP):
        await service(number)
        await bare(number)
    service.forget()
    whole = await _open_loop(service, rate=rate, seconds=seconds)
    alone = await _open_loop(bare, rate=rate, seconds=seconds)
    return {
        "service_ms": whole,
        "bare_calls_ms": alone,
        "stages_ms": {name: _spread(ms) for name, ms in service.stages.items()},
        "answers_with_fallbacks": service.lacking,
        "remembered": service.remembered,
        "requests": round(rate * seconds),
    }


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

    def __init__(self, client: httpx.AsyncClient, *, users: int, anew: bool) -> None:
        self.client = client
        self.users = users
        self.anew = anew
        self.asked = 0
        self.forget()

    def forget(self) -> None:
        """Start counting anew."""
        self.stages: dict[str, list[float]] = {}
        self.lacking = self.remembered = 0

    async def __call__(self, number: int) -> None:
        """Ask for a list of twenty."""
        self.asked += 1
        body: dict[str, object] = {"user_id": _user(number, self.users), "session_id": "s"}
        if self.anew:
            body["constraints"] = {"price_range": {"max": DEAR + self.asked}}
        answer = await self.client.post("/v1/personalize", json=body)
        answer.raise_for_status()
        metadata = answer.json()["metadata"]
        self.lacking += bool(metadata["fallbacks"])
        self.remembered += metadata["cache_hit"]
        for stage, ms in metadata["stages_ms"].items():
            self.stages.setdefault(stage, []).append(ms)


def _user(number: int, users: int) -> str:
    return f"u{number % users:05d}"


def _bare(clients: Clients, options: argparse.Namespace) -> Shot:
    features = np.random.default_rng(1).random((CANDIDATES, len(FEATURES))).astype(np.float32)

    async def shot(number: int) -> None:
        user = await clients.online.user(_user(number, options.users), recent=50)
        assert user.embedding is not None
        vector = lift(user.embedding)
        latest = [one.item_id for one in user.recent if one.item_id][:LATEST_LIKED]
        await asyncio.gather(
            clients.vectors.search_items_each([vector, vector], NEAREST),
            clients.neighbors.of(latest),
        )
        await clients.ranker.rank(features)

    return shot


def _versions(clients: Clients, options: argparse.Namespace) -> Shot:
    async def shot(number: int) -> None:
        await clients.online.user_stamp(_user(number, options.users))

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
    for kind, measured in figures.items():
        assert isinstance(measured, dict)
        table = Table("requests/s", "what", "p50", "p95", "p99", "max", title=f"{kind}, ms")
        for rate, spreads in measured["by_requests_per_s"].items():
            rows = {"service": spreads["service_ms"], "bare calls": spreads["bare_calls_ms"]}
            rows |= {f"  {stage}": spread for stage, spread in spreads["stages_ms"].items()}
            for what, spread in rows.items():
                table.add_row(rate, what, *(f"{value:.1f}" for value in spread.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
