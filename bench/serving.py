"""How long an answer takes, whole and by stage, beside the bare calls to its three servers.

Requests leave at a fixed rate from a process of their own (`bench/open_loop.py`), while the jobs
and writers run. They are of three kinds:

- `anew`: no request is like an earlier one, so that all is done for each of them;
- `live`: users ask for lists, and for every ten lists somebody does something, by `/v1/feedback`:
  it goes through Kafka, a job and a writer, and the next answer to that user is made of it;
- `remembered`: users who did nothing since ask for the same again.

Beside each kind stand its bare calls, which no service could do without, with the same clients, at
the same rate, in the same run: for `anew` a user from Redis, a search in Milvus and neighbours from
Redis at once, a ranking in Triton; for `live` the same for one request of ten, and for the others,
as for `remembered`, the versions of the user from Redis.

Then `live` and `remembered` are asked for more and more, until one in a hundred answers takes more
than 100 ms. Meanwhile some users are asked for as often as the store knows them better: no answer
may be older than what stood in the store before it was asked for.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from bench.open_loop import Figures, Fired, Load, Shot, fired, open_loop, spread
from bench.result import save
from bench.seeding import fill
from domain.fusion import lift
from domain.ranking_features import FEATURES
from serving.clients import Clients, opened
from serving.stages.candidates import LATEST_LIKED, NEAREST
from settings import Settings, load_settings
from stack.lifecycle import SERVERS
from stack.local import LocalStack

WITHOUT_JOBS = tuple(one for one in SERVERS if one not in {"flink", "jobs"})
SERVICES = ("writers", "api")
KINDS = ("anew", "live", "remembered")
CANDIDATES = 450
# Dearer than anything: such a limit leaves nothing out and makes a request unlike all others.
DEAR = 1_000_000
READY_WITHIN_S = 120
WARM_UP = 200
PATIENCE_MS = 10_000
# For so many lists somebody does something.
LISTS_PER_EVENT = 10
# So late may one answer in a hundred be, at the most that a service bears.
BEARABLE_MS = 100.0
STEPS = (200, 300, 400, 500, 600, 700, 800, 900, 1_000, 1_200, 1_400, 1_600)
CHECKS_PER_S = 5
MEETING_PER_S = 40


def main() -> None:
    """Measure, print and keep the result."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        stack = LocalStack.beside(base, data_dir=Path(directory))
        try:
            _start(stack, options)
            figures = asyncio.run(_measured(stack.settings, options))
        finally:
            stack.down()
    _print(figures)
    print(save("serving", {**figures, "items": options.items, "users": options.users}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.serving", description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", type=int, nargs="*", default=STEPS, help="rates up to the most")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=400)
    parser.add_argument("--jobs", nargs="*", default=["user_state", "bandit_posteriors"])
    return parser.parse_args()


def _start(stack: LocalStack, options: argparse.Namespace) -> None:
    stack.up(*(SERVERS if options.jobs else WITHOUT_JOBS))
    fill(stack.settings, items=options.items, users=options.users)
    if options.jobs:
        stack.freshet("job", "submit", *options.jobs)
    stack.up(*(SERVICES if options.jobs else SERVICES[1:]))


async def _measured(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    url = f"http://{settings.serving.host}:{settings.serving.port}"
    async with AsyncExitStack() as closing:
        client = await closing.enter_async_context(httpx.AsyncClient(base_url=url, timeout=10))
        clients = await closing.enter_async_context(opened(_patient(settings)))
        await _ready(client, options.items)
        measuring = _Measuring(settings, options, client, clients)
        found: dict[str, Any] = {}
        for kind in options.kinds:
            await measuring.meet_everybody(kind)
            by_rate = {str(rate): await measuring.at(kind, rate) for rate in options.rates}
            found[kind] = {"by_requests_per_s": by_rate}
            if kind != "anew" and options.steps:
                found[kind]["most"] = await measuring.most(kind, options.steps)
        found["fresh"] = {"checked": measuring.checked, "older_than_the_store": measuring.older}
        return found


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


@dataclass(eq=False)
class _Measuring:
    """Asks the service and its servers; counts what was asked, so that nothing is asked twice."""

    settings: Settings
    options: argparse.Namespace
    client: httpx.AsyncClient
    clients: Clients
    asked: int = 0
    checked: int = 0
    older: int = 0

    async def meet_everybody(self, kind: str) -> None:
        """Ask for each user once, where those are measured of whom something is remembered."""
        if kind != "anew":
            await self._lists(kind, MEETING_PER_S, self.options.users)

    async def at(self, kind: str, rate: int) -> dict[str, Any]:
        """The service at a rate, and after it the bare calls."""
        await self._lists(kind, rate, min(WARM_UP, rate * 5))
        lists = await self._live(kind, rate)
        count = round(rate * self.options.seconds)
        bare = await open_loop(self._bare(kind), rate=rate, count=count)
        return {**_told(lists), "bare_calls_ms": spread(bare)}

    async def most(self, kind: str, steps: Sequence[int]) -> dict[str, Any]:
        """The highest rate at which answers come in a bearable time, and what was seen above."""
        best: dict[str, Any] = {"requests_per_s": 0}
        for rate in steps:
            seen = {"requests_per_s": rate, **_told(await self._live(kind, rate))}
            if seen["service_ms"]["p99"] > BEARABLE_MS or seen["shed"] > 0.01:
                return {**best, "and_above": seen}
            best = seen
        return best

    async def _live(self, kind: str, rate: int) -> Fired:
        """Lists at a rate; with `live` deeds beside them, and a look at how old the answers are."""
        count = round(rate * self.options.seconds)
        if kind != "live":
            return await self._lists(kind, rate, count)
        async with asyncio.TaskGroup() as together:
            lists = together.create_task(self._lists(kind, rate, count))
            together.create_task(self._deeds(rate / LISTS_PER_EVENT, count // LISTS_PER_EVENT))
            together.create_task(self._look(self.options.seconds))
        return lists.result()

    async def _lists(self, kind: str, rate: float, count: int) -> Fired:
        first, self.asked = self.asked, self.asked + count
        bodies = [
            self._request(number, anew=kind == "anew") for number in range(first, first + count)
        ]
        return await fired(self._load("/v1/personalize", bodies, rate))

    def _request(self, number: int, *, anew: bool) -> bytes:
        body: dict[str, Any] = {"user_id": self._user(number), "session_id": "s"}
        if anew:
            body["constraints"] = {"price_range": {"max": DEAR + number}}
        return orjson.dumps(body)

    async def _deeds(self, rate: float, count: int) -> None:
        bodies = [self._deed() for _ in range(count)]
        taken = await fired(self._load("/v1/feedback", bodies, rate))
        if taken.statuses != {202: count}:
            raise SystemExit(f"feedback was answered with {dict(taken.statuses)}")

    def _deed(self) -> bytes:
        chance = np.random.default_rng()
        item = f"i{chance.integers(self.options.items):05d}"
        return orjson.dumps(
            {
                "user_id": self._user(int(chance.integers(self.options.users))),
                "request_id": str(uuid4()),
                "feedback": [{"item_id": item, "action": "click"}],
            }
        )

    async def _look(self, seconds: float) -> None:
        """Ask for users whose version is known; none may be answered by an older one."""
        for number in range(round(seconds * CHECKS_PER_S)):
            user_id = self._user(number)
            there = (await self.clients.online.user(user_id, recent=0)).version
            answer = await self.client.post("/v1/personalize", json={"user_id": user_id})
            metadata = answer.json()["metadata"]
            self.checked += 1
            self.older += metadata["versions"]["user"] < there and not metadata["fallbacks"]
            await asyncio.sleep(1 / CHECKS_PER_S)

    def _load(self, path: str, bodies: Sequence[bytes], rate: float) -> Load:
        serving = self.settings.serving
        return Load(host=serving.host, port=serving.port, path=path, bodies=bodies, rate=rate)

    def _user(self, number: int) -> str:
        return f"u{number % self.options.users:05d}"

    def _bare(self, kind: str) -> Shot:
        features = np.random.default_rng(1).random((CANDIDATES, len(FEATURES))).astype(np.float32)

        async def whole(number: int) -> None:
            user = await self.clients.online.user(self._user(number), recent=50)
            assert user.embedding is not None
            vector = lift(user.embedding)
            latest = [one.item_id for one in user.recent if one.item_id][:LATEST_LIKED]
            await asyncio.gather(
                self.clients.vectors.search_items_each([vector, vector], NEAREST),
                self.clients.neighbors.of(latest),
            )
            await self.clients.ranker.rank(features)

        async def versions(number: int) -> None:
            await self.clients.online.user_stamp(self._user(number))

        async def one_of_ten(number: int) -> None:
            await (versions if number % LISTS_PER_EVENT else whole)(number)

        return {"anew": whole, "live": one_of_ten, "remembered": versions}[kind]


def _told(lists: Fired) -> dict[str, Any]:
    """What a load shows: times, stages by what the answers say of them, and what was lacking."""
    answers = [orjson.loads(body)["metadata"] for body in lists.bodies]
    stages: dict[str, list[float]] = {}
    for metadata in answers:
        for stage, ms in metadata["stages_ms"].items():
            stages.setdefault(stage, []).append(ms)
    lacking = Counter(name for metadata in answers for name in metadata["fallbacks"])
    return {
        "service_ms": spread(lists.took_ms),
        "stages_ms": {name: spread(ms) for name, ms in stages.items()},
        "statuses": {str(status): count for status, count in lists.statuses.items()},
        "fallbacks": dict(lacking),
        "shed": round(lacking["admit:overloaded"] / max(1, len(answers)), 4),
        "remembered": round(sum(one["cache_hit"] for one in answers) / max(1, len(answers)), 3),
        "requests": len(lists.took_ms),
    }


def _print(figures: Mapping[str, Any]) -> None:
    for kind in KINDS:
        if kind in figures:
            _print_kind(kind, figures[kind])
    print(f"answers older than the store: {figures['fresh']}")


def _print_kind(kind: str, measured: Mapping[str, Any]) -> None:
    table = Table("requests/s", "what", "p50", "p95", "p99", "max", title=f"{kind}, ms")
    for rate, seen in measured["by_requests_per_s"].items():
        for what, ms in _rows(seen):
            table.add_row(rate, what, *(f"{value:.1f}" for value in ms.values()))
    if "most" in measured:
        most = measured["most"]
        figures = (f"{value:.1f}" for value in most.get("service_ms", {}).values())
        table.add_row(str(most["requests_per_s"]), "the most", *figures)
    Console().print(table)


def _rows(seen: Mapping[str, Any]) -> Iterator[tuple[str, Figures]]:
    yield "service", seen["service_ms"]
    yield "bare calls", seen["bare_calls_ms"]
    for stage, ms in seen["stages_ms"].items():
        yield f"  {stage}", ms


if __name__ == "__main__":
    main()
