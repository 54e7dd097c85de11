"""Measures freshness on the running stack."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from demo.freshness import BackgroundLoad, Load, Prober, Seen, marked_event
from demo.service import Service, ServiceError
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from settings import Settings
from stores.errors import StoreUnavailable
from stores.event_log import EventLog
from stores.online import OnlineReader

STORE_TIMEOUT_MS = 2_000
ITEMS = 100


class ProbeError(Exception):
    """Nothing could be measured; the message says why and what to look at."""


@dataclass(frozen=True, kw_only=True)
class ProbePlan:
    """What is measured. `run` makes the probes' users new ones."""

    rate: float
    seconds: float
    probes: int
    users: int
    poll_s: float
    timeout_s: float
    run: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of it."""

    seen: tuple[Seen, ...]
    load: Load


class _ByAnswer:
    """The versions that an answer names."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def versions(self, user_id: str) -> tuple[int, int]:
        """Read the versions of the user's state and vector."""
        answer = await self._service.personalize(user_id, count=5)
        return answer.user_version, answer.embedding_version


class _ByStore:
    """The versions that the online store holds; while it can't be read, none."""

    def __init__(self, reader: OnlineReader) -> None:
        self._reader = reader

    async def versions(self, user_id: str) -> tuple[int, int]:
        """Read the versions of the user's state and vector."""
        try:
            view = await self._reader.user(user_id, recent=0)
        except StoreUnavailable:
            return 0, 0
        return view.version, view.embedding_version


async def measure(
    settings: Settings, plan: ProbePlan, *, progress: Callable[[Seen], None]
) -> Measured:
    """Send the probes beside the load, evenly over the time, and wait for each."""
    serving = settings.serving
    async with Service(f"http://{serving.host}:{serving.port}") as service:
        item_ids = (await service.personalize(plan.run, count=ITEMS)).ids
        if not item_ids:
            raise ProbeError("the service knows no items; load some with `freshet catalog load`")
        with EventLog(settings.kafka.bootstrap, client_id="freshet-probe") as log:
            async with _prober(settings, service, log, plan) as prober:
                await _introduce(prober, plan, item_ids)
                load = BackgroundLoad(
                    rate=plan.rate,
                    users=plan.users,
                    item_ids=item_ids,
                    run=plan.run,
                    send=prober.send,
                )
                load.start()
                try:
                    seen = await _probe_all(prober, plan, item_ids, progress)
                finally:
                    sent = await asyncio.to_thread(load.stop)
    return Measured(seen=seen, load=sent)


@asynccontextmanager
async def _prober(
    settings: Settings, service: Service, log: EventLog, plan: ProbePlan
) -> AsyncIterator[Prober]:
    async with OnlineReader(settings.redis.url, timeout_ms=STORE_TIMEOUT_MS) as reader:
        yield Prober(
            send=lambda event: log.send(USER_EVENTS, event.user_id, event),
            answers=_ByAnswer(service),
            store=_ByStore(reader),
            poll_s=plan.poll_s,
            timeout_s=plan.timeout_s,
        )


async def _introduce(prober: Prober, plan: ProbePlan, item_ids: tuple[str, ...]) -> None:
    """Let every probe's user be known before it counts: also a check that anything works."""
    first = [_event(plan, number, item_ids, name="first") for number in range(plan.probes)]
    for event in first:
        prober.send(event)
    until = time.monotonic() + plan.timeout_s
    for known, event in enumerate(first):
        while not all(await prober.answers.versions(event.user_id)):
            if time.monotonic() > until:
                raise ProbeError(
                    f"{known} of {plan.probes} first events were in an answer after "
                    f"{plan.timeout_s:g} s, without any load; do the jobs and the writers run? "
                    "`freshet job list`, `freshet stack status`, `freshet stack logs writers`"
                )
            await asyncio.sleep(plan.poll_s)


async def _probe_all(
    prober: Prober,
    plan: ProbePlan,
    item_ids: tuple[str, ...],
    progress: Callable[[Seen], None],
) -> tuple[Seen, ...]:
    """Start each probe at its time, whatever became of those before it."""
    began = time.monotonic()

    async def probe(number: int) -> Seen:
        due = began + plan.seconds * (number + 0.5) / plan.probes
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        seen = await _measured(prober, _event(plan, number, item_ids, name="probe"))
        progress(seen)
        return seen

    seen = await asyncio.gather(*(probe(number) for number in range(plan.probes)))
    await asyncio.sleep(max(0.0, began + plan.seconds - time.monotonic()))
    return tuple(seen)


async def _measured(prober: Prober, event: UserEvent) -> Seen:
    """A probe whose answers fail was not seen; it counts as never."""
    try:
        return await prober.probe(event)
    except ServiceError:
        return Seen()


def _event(plan: ProbePlan, number: int, item_ids: tuple[str, ...], *, name: str) -> UserEvent:
    return marked_event(
        user_id=f"{plan.run}-{number}",
        event_id=f"{plan.run}-{number}-{name}",
        item_id=item_ids[number % len(item_ids)],
        event_type="click",
        timestamp_ms=int(time.time() * 1000),
    )
