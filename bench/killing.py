"""Kills, hangs and revives each server of the service while every endpoint is asked.

Each server is killed with SIGKILL and comes back by its keeper, then stopped with SIGSTOP and let
go on. What counts as a failure: an answer of 5xx, none at all, or a gRPC code, that
docs/degradation.md doesn't allow; an answer after its time; something still lacking ten seconds
after the server answered a client of our own again; an acknowledged event or reward that isn't in
Kafka at the end. Any failure ends with exit code 1. What a call may answer while its server is away
is no failure at another time either (on a busy machine Redis is late), but it is counted.
"""

import argparse
import asyncio
import contextlib
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.every_call import EveryCall, Shot
from bench.light_client import LightClient, NoAnswerError
from bench.result import save
from bench.seeding import fill
from schemas.topics import BANDIT_UPDATES, USER_EVENTS
from schemas.types import BanditUpdate, UserEvent
from serving.clients import ANY_VECTOR, Clients, opened
from serving.model_calls import ModelUnavailableError
from settings import Settings, load_settings
from stack.local import LocalStack
from stores.errors import StoreError
from stores.event_log import read

# A part, and the dependency as fallbacks and breakers call it.
SERVERS: Mapping[str, str] = {
    "kafka": "kafka",
    "valkey": "redis",
    "milvus": "milvus",
    "triton": "triton",
}
# What docs/degradation.md has no substitute for.
ALLOWED: Mapping[tuple[str, str], str] = {
    ("UpdatePosterior", "UNAVAILABLE"): "kafka",
    ("GetParameters", "UNAVAILABLE"): "redis",
}
POLL_S = 0.25
CALM_S = 2.0
RECOVERY_S = 10.0
GIVE_UP_S = 25.0
BACK_WITHIN_S = 60.0
DELIVERED_WITHIN_S = 30.0
# A reward waits for its turn as long as for Kafka's word.
OWN_TIME_MS = {"UpdatePosterior": 4_000.0}
SAMPLE = re.compile(r'^(freshet_\w+)(?:\{\w+="([^"]*)"\})? ([-+.\de]+)$', re.MULTILINE)


@dataclass
class Phase:
    """What was done to a server, and when."""

    name: str
    dependency: str
    began: float
    ended: float = 0.0
    well: float | None = None
    revived: float | None = None
    recovery_s: float | None = None
    rss_mb: int = 0


@dataclass(eq=False)
class Watch:
    """Looks at the service's own metrics: when it last did without which server."""

    client: LightClient
    last: dict[str, float] = field(default_factory=dict)
    open: dict[str, bool] = field(default_factory=dict)
    waiting: float = 0.0
    _seen: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CALM_S):
                    self._take((await self.client.get("/metrics")).body.decode())
            except (TimeoutError, OSError, NoAnswerError) as error:
                print(f"no metrics: {error!r}", flush=True)
            await asyncio.sleep(POLL_S)

    def _take(self, page: str) -> None:
        now = time.perf_counter()
        for name, label, value in SAMPLE.findall(page):
            if name == "freshet_fallbacks_total" and float(value) > self._seen.get(label, 0.0):
                self._seen[label] = float(value)
                self.last[label.partition(":")[2].removesuffix("_unavailable")] = now
            elif name == "freshet_breaker_open":
                self.open[label] = float(value) > 0
                if self.open[label]:
                    self.last[label] = now
            elif name == "freshet_waiting_feedback":
                self.waiting = float(value)
                if self.waiting:
                    self.last["kafka"] = now


def main() -> None:
    """Load, kill, revive; judge and keep what was found."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-killing-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        stack = LocalStack.beside(base, data_dir=options.keep or Path(directory))
        try:
            stack.up(*SERVERS)
            fill(stack.settings, items=options.items, users=options.users)
            stack.up("api")
            figures = asyncio.run(_run(stack, options))
        finally:
            stack.down()
    print(save("killing", {**figures, "rate": options.rate, "note": options.note}))
    failures = figures["failures"]
    assert isinstance(failures, list)
    print("nothing failed" if not failures else "\n".join(["FAILED:", *failures]), flush=True)
    sys.exit(1 if failures else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.killing", description=__doc__)
    parser.add_argument("--rate", type=float, default=30.0, help="requests/s, of all endpoints")
    parser.add_argument("--only", nargs="+", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--how", nargs="+", default=["kill", "hang"], choices=["kill", "hang"])
    parser.add_argument("--hang-s", type=float, default=4.0, help="how long a server is stopped")
    parser.add_argument("--slack-ms", type=float, default=500, help="beyond the deadline")
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--keep", type=Path, help="keep the stack's data in this directory")
    return parser.parse_args()


async def _run(stack: LocalStack, options: argparse.Namespace) -> dict[str, Any]:
    serving = stack.settings.serving
    watch = Watch(LightClient(serving.host, serving.port))
    load = EveryCall(stack.settings, rate=options.rate, users=options.users, items=options.items)
    stop = asyncio.Event()
    watching = asyncio.create_task(watch.run())
    loading = asyncio.create_task(load.run(stop))
    phases = await _phases(stack, watch, options)
    stop.set()
    await loading
    await _delivered(watch)
    watching.cancel()
    lost = await asyncio.to_thread(_lost, stack.settings, load)
    slack = options.slack_ms
    told = [_told(phase, load.shots) for phase in phases]
    failures = [
        *(
            line
            for phase in phases
            for line in _failures(phase, load.shots, serving.deadline_ms + slack)
        ),
        *lost,
    ]
    acknowledged = {"events": len(load.events), "rewards": len(load.rewards)}
    return {"phases": told, "acknowledged": acknowledged, "failures": failures}


async def _phases(stack: LocalStack, watch: Watch, options: argparse.Namespace) -> list[Phase]:
    await _until_ready(watch)
    phases = [await _calm(stack, "warm-up", 4.0), await _calm(stack, "nothing", 5.0)]
    for part in options.only:
        for how in options.how:
            phases.append(await _hurt(stack, watch, part, how, options.hang_s))
            print(phases[-1], flush=True)
    phases.append(await _calm(stack, "after all", 3.0))
    return phases


async def _until_ready(watch: Watch) -> None:
    """Until no breaker is open and nothing was lacking for a while."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while not watch.open or any(watch.open.values()):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


async def _calm(stack: LocalStack, name: str, seconds: float) -> Phase:
    phase = Phase(name, "", time.perf_counter())
    await asyncio.sleep(seconds)
    return _end(stack, phase)


def _end(stack: LocalStack, phase: Phase) -> Phase:
    phase.ended = time.perf_counter()
    phase.rss_mb = round(psutil.Process(stack.pid("api")).memory_info().rss / 2**20)
    return phase


async def _hurt(stack: LocalStack, watch: Watch, part: str, how: str, hang_s: float) -> Phase:
    phase = Phase(f"{how} {part}", SERVERS[part], time.perf_counter())
    if how == "kill":
        killed = stack.kill(part)
        phase.well = await _back(stack, part, killed)
        phase.revived = await _answering(stack.settings, part)
    else:
        stack.kill(part, signal.SIGSTOP)
        await asyncio.sleep(hang_s)
        stack.kill(part, signal.SIGCONT)
        phase.revived = time.perf_counter()
    phase.recovery_s = await _recovered(watch, phase)
    return _end(stack, phase)


async def _back(stack: LocalStack, part: str, killed: int) -> float:
    """When the keeper has started it again and it says that it is well."""
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            status = await asyncio.to_thread(stack.status, part)
            if status.is_well and status.pids and stack.pid(part) != killed:
                return time.perf_counter()
            await asyncio.sleep(POLL_S)


async def _answering(settings: Settings, part: str) -> float:
    """When it answers a client of our own: Milvus is well long before it finds anything again."""
    async with opened(settings) as clients, asyncio.timeout(BACK_WITHIN_S):
        while True:
            with contextlib.suppress(StoreError, ModelUnavailableError):
                if await _asked(clients, part):
                    return time.perf_counter()
            await asyncio.sleep(POLL_S)


async def _asked(clients: Clients, part: str) -> bool:
    if part == "milvus":
        return bool(await clients.vectors.search_items(ANY_VECTOR, 1))
    await {
        "kafka": lambda: clients.event_log.probe(USER_EVENTS),
        "valkey": clients.online.ping,
        "triton": clients.ranker.probe,
    }[part]()
    return True


async def _recovered(watch: Watch, phase: Phase) -> float:
    """Seconds from the revival to the last time that something was done without the server."""
    assert phase.revived is not None
    while True:
        now = time.perf_counter()
        last = max(watch.last.get(phase.dependency, 0.0), phase.revived)
        if now - last > CALM_S or now - phase.revived > GIVE_UP_S:
            return round(last - phase.revived, 2)
        await asyncio.sleep(POLL_S)


async def _delivered(watch: Watch) -> None:
    give_up = time.perf_counter() + DELIVERED_WITHIN_S
    await asyncio.sleep(CALM_S)
    while watch.waiting and time.perf_counter() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)


def _lost(settings: Settings, load: EveryCall) -> list[str]:
    """Acknowledged, and not in Kafka."""
    log = list(read(settings.kafka.bootstrap, [USER_EVENTS, BANDIT_UPDATES]))
    events = Counter(
        one.record(UserEvent).request_id for one in log if one.position.topic == USER_EVENTS.name
    )
    rewards = {
        one.record(BanditUpdate).update_id
        for one in log
        if one.position.topic == BANDIT_UPDATES.name
    }
    twice = sum(count > 1 for name, count in events.items() if name in load.events)
    print(f"{len(load.events)} events acknowledged, {twice} of them are in Kafka twice", flush=True)
    missing = sorted(load.events - set(events)) + sorted(load.rewards - rewards)
    return [f"acknowledged, and not in Kafka: {name}" for name in missing]


def _of(phase: Phase, shots: Sequence[Shot]) -> list[Shot]:
    return [one for one in shots if phase.began <= one.due < phase.ended]


def _told(phase: Phase, shots: Sequence[Shot]) -> dict[str, Any]:
    own = _of(phase, shots)
    endpoints = sorted({one.endpoint for one in own})
    return {
        "phase": phase.name,
        "seconds": round(phase.ended - phase.began, 1),
        "said_well_after_s": round((phase.well or phase.began) - phase.began, 1),
        "away_s": round((phase.revived or phase.began) - phase.began, 1),
        "recovery_s": phase.recovery_s,
        "service_rss_mb": phase.rss_mb,
        "endpoints": {
            endpoint: _spread([one for one in own if one.endpoint == endpoint])
            for endpoint in endpoints
        },
        "fallbacks": dict(Counter(name for one in own for name in one.fallbacks)),
        "refused_though_its_server_was_there": sum(
            ALLOWED.get((one.endpoint, one.status), phase.dependency) != phase.dependency
            for one in own
        ),
    }


def _spread(shots: Sequence[Shot]) -> dict[str, Any]:
    p50, p99 = np.percentile([one.took_ms for one in shots], [50, 99])
    return {
        "statuses": dict(Counter(one.status for one in shots)),
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "max_ms": round(max(one.took_ms for one in shots), 1),
    }


def _failures(phase: Phase, shots: Sequence[Shot], limit_ms: float) -> Iterator[str]:
    if phase.name == "warm-up":
        return
    own = _of(phase, shots)
    bad = Counter((one.endpoint, one.status) for one in own if _is_bad(one))
    yield from (f"{phase.name}: {count} of {end}: {status}" for (end, status), count in bad.items())
    late = [one for one in own if one.took_ms > OWN_TIME_MS.get(one.endpoint, 0.0) + limit_ms]
    if late:
        worst = max(late, key=lambda one: one.took_ms)
        yield f"{phase.name}: {len(late)} late, the worst {worst.endpoint} {worst.took_ms:.0f} ms"
    if phase.recovery_s is not None and phase.recovery_s > RECOVERY_S:
        yield f"{phase.name}: something was lacking until {phase.recovery_s} s after"


def _is_bad(shot: Shot) -> bool:
    if shot.status in {"200", "202", "OK"}:
        return False
    return (shot.endpoint, shot.status) not in ALLOWED


if __name__ == "__main__":
    main()
