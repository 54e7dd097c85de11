"""What asking a second time does to late answers, and to the load.

A stand-in answers in some 2 ms, one answer in a hundred takes twenty times as long. Two kinds of
it: `replicas`, where each call is late by itself, as behind an address with several servers; and
`one server`, which stands still now and then for everybody, as a lone process does that collects
garbage, syncs its disk or has lost its core. Both late for the same share of calls.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.result import save
from serving.hedge import Hedge
from serving.metrics import Metrics

USUAL_S = 0.002
LATE_SHARE = 0.01
TIMES = 20.0


class Replicas:
    """Each call is late by its own chance."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        usual = USUAL_S * self.rng.uniform(0.8, 1.2)
        await asyncio.sleep(usual * (TIMES if self.rng.random() < LATE_SHARE else 1.0))


class OneServer:
    """Stands still at times, for all who ask meanwhile."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.calls = 0
        self.still_until = 0.0
        self.next_still = 0.0

    async def __call__(self) -> None:
        self.calls += 1
        now, pause = time.perf_counter(), USUAL_S * TIMES
        if now > self.next_still:
            self.still_until = now + pause
            self.next_still = now + self.rng.expovariate(LATE_SHARE / pause)
        await asyncio.sleep(max(0.0, self.still_until - now))
        await asyncio.sleep(USUAL_S * self.rng.uniform(0.8, 1.2))


Make = Callable[[random.Random], Replicas | OneServer]


def main() -> None:
    """Measure, print and keep the result."""
    parser = argparse.ArgumentParser(prog="bench.hedging", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.02, 0.05])
    options = parser.parse_args()
    kinds: dict[str, Make] = {"replicas": Replicas, "one server": OneServer}
    figures = {
        name: {str(share): asyncio.run(_measured(kind, share, options)) for share in options.shares}
        for name, kind in kinds.items()
    }
    _print(figures)
    print(save("hedging", {"ms": figures, "rate": options.rate, "seconds": options.seconds}))


async def _measured(
    kind: Make,
    share: float,
    options: argparse.Namespace,
) -> Mapping[str, float]:
    server, metrics = kind(random.Random(1)), Metrics()
    hedge = Hedge("bench", share=share, metrics=metrics, clock=time.perf_counter)
    cpu = time.process_time()
    took = await _open_loop(lambda: hedge.call(server), options)
    cpu = time.process_time() - cpu
    won = metrics.registry.get_sample_value(
        "freshet_hedges_total", {"kind": "bench", "outcome": "won"}
    )
    p50, p95, p99, p999 = np.percentile(took, [50, 95, 99, 99.9])
    return {
        "p50": round(float(p50), 2),
        "p95": round(float(p95), 2),
        "p99": round(float(p99), 2),
        "p99.9": round(float(p999), 2),
        "extra_calls_percent": round(100 * (server.calls / len(took) - 1), 2),
        "won": won or 0.0,
        "cpu_us_per_call": round(cpu / len(took) * 1e6, 1),
    }


async def _open_loop(
    shot: Callable[[], Awaitable[None]], options: argparse.Namespace
) -> list[float]:
    took: list[float] = []

    async def timed(due: float) -> None:
        await shot()
        took.append((time.perf_counter() - due) * 1000)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as shots:
        for number in range(round(options.rate * options.seconds)):
            due = started + number / options.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            shots.create_task(timed(time.perf_counter()))
    return took


def _print(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    columns = ("p50", "p95", "p99", "p99.9", "extra_calls_percent", "won", "cpu_us_per_call")
    table = Table("server", "share", *columns)
    for name, by_share in figures.items():
        for share, told in by_share.items():
            table.add_row(name, share, *(str(told[column]) for column in columns))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
