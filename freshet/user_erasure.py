"""Forgets a user: asks for it in the log, and watches each place until nothing is left there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from schemas.lake import LAKE_TABLES
from schemas.topics import USER_EVENTS, USER_SNAPSHOTS
from schemas.types import UserEvent, UserSnapshot
from settings import Settings
from stores.errors import StoreError
from stores.event_log import EventLog, read
from stores.log_producer import Position
from stores.user_keys import UserKeys
from stores.user_vectors import UserVectorReader

LOOK_EVERY_S = 0.5
STORE_TIMEOUT_MS = 5_000
BY_COMPACTION = "goes with the next `freshet lake compact`"

Count = Callable[[], Awaitable[int]]


@dataclass(kw_only=True)
class Place:
    """Where something of a user may lie: how much there was, and is.

    `later` says when what is left there goes by itself; `trouble` why the place can't be read.
    """

    name: str
    unit: str
    count: Count
    later: str = ""
    before: int = 0
    left: int = 0
    trouble: str = ""

    async def look(self) -> int:
        """Count anew."""
        try:
            self.left, self.trouble = await self.count(), ""
        except StoreError as error:
            self.trouble = str(error)
        return self.left

    @property
    def is_clear(self) -> bool:
        """Whether nothing is left that should be gone by now."""
        return not self.trouble and (self.left == 0 or bool(self.later))


async def forget(
    settings: Settings, user_id: str, *, timeout_s: float, report: Callable[[int, int], None]
) -> list[Place]:
    """Have everything of a user deleted, and answer what there was and is, place by place.

    `report` is told how many places are clear, of how many.
    """
    async with stored_places(settings, user_id) as places:
        for place in places:
            place.before = await place.look()
        event = erase_event(user_id, now_ms=time.time_ns() // 1_000_000)
        asked = await asyncio.to_thread(send, settings, event)
        places = [state_place(settings, user_id, asked=asked), *places]
        await until_clear(places, timeout_s=timeout_s, report=report)
    return places


async def until_clear(
    places: Sequence[Place],
    *,
    timeout_s: float,
    report: Callable[[int, int], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look at the places that aren't clear until all are, or the time is over."""
    until = clock() + timeout_s
    waiting = list(places)
    while waiting:
        for place in waiting:
            await place.look()
        waiting = [place for place in waiting if not place.is_clear]
        report(len(places) - len(waiting), len(places))
        if clock() > until:
            return
        if waiting:
            await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def stored_places(settings: Settings, user_id: str) -> AsyncIterator[list[Place]]:
    """The places that can be looked at without the log."""
    milvus = settings.milvus
    token = milvus.token.get_secret_value()
    async with (
        UserKeys(settings.redis.url, timeout_ms=STORE_TIMEOUT_MS) as keys,
        UserVectorReader(milvus.uri, timeout_ms=STORE_TIMEOUT_MS, token=token) as vectors,
    ):
        # The visit is known by the context alone, which goes first.
        visits = await _visits(keys, user_id)
        yield [
            Place(name="Redis", unit="keys", count=partial(_keys, keys, user_id, visits)),
            Place(name="Milvus", unit="rows", count=partial(_rows, vectors, user_id)),
            *_recorded(settings, user_id),
            Place(
                name="lake",
                unit="rows",
                count=partial(asyncio.to_thread, lake_rows, settings, user_id),
                later=BY_COMPACTION,
            ),
        ]


def state_place(settings: Settings, user_id: str, *, asked: Position) -> Place:
    """The job's state: it tells by a last message that it has forgotten the user."""

    def left() -> int:
        found = read(settings.kafka.bootstrap, [USER_SNAPSHOTS], from_ms=asked.log_time_ms)
        mine = (one for one in found if one.key == user_id.encode())
        erased = any(one.record(UserSnapshot).erased for one in mine)
        return 0 if erased else 1

    return Place(
        name="job user_state", unit="state", count=partial(asyncio.to_thread, left), before=1
    )


def erase_event(user_id: str, *, now_ms: int) -> UserEvent:
    """The event that asks for a user to be forgotten."""
    return UserEvent(
        event_id=f"erase-{uuid4()}", user_id=user_id, event_type="erase", timestamp_ms=now_ms
    )


def consent_event(user_id: str, *, granted: bool, now_ms: int) -> UserEvent:
    """The event by which a user grants personalization, or withdraws it."""
    return UserEvent(
        event_id=f"consent-{uuid4()}",
        user_id=user_id,
        event_type="preference_update",
        timestamp_ms=now_ms,
        consent=granted,
    )


def send(settings: Settings, event: UserEvent) -> Position:
    """Write an event and wait until it is safe; raises LogUnavailable."""
    with EventLog(settings.kafka.bootstrap, client_id="freshet-user") as log:
        return log.send(USER_EVENTS, event.user_id, event).result()


async def until_consent(
    settings: Settings, user_id: str, *, granted: bool, timeout_s: float
) -> bool:
    """Wait until the online store has what was said; False where it hasn't in time."""
    until = time.monotonic() + timeout_s
    async with UserKeys(settings.redis.url, timeout_ms=STORE_TIMEOUT_MS) as keys:
        while await keys.consent(user_id) is not granted:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
    return True


def lake_rows(settings: Settings, user_id: str) -> int:
    """How many rows of the lake are about a user."""
    if not settings.lake_directory.is_dir():
        return 0
    # Slow to import, and needed only where there is a lake.
    import pyarrow.compute as pc

    from stores.lake.reading import Lake

    found = 0
    for table in LAKE_TABLES:
        if any(field["name"] == "user_id" for field in table.fields):
            for batch in Lake(settings.lake_directory).read(table, columns=["user_id"]):
                found += int(pc.sum(pc.equal(batch["user_id"], user_id)).as_py() or 0)
    return found


def record_rows(url: str, user_id: str) -> int:
    """How many rows of the relational store are about a user."""
    # Needed only where there are records.
    from stores.records.database import Database
    from stores.records.reading import RecordReader

    with Database(url) as database:
        reader = RecordReader(database)
        return int(reader.profile(user_id) is not None) + len(reader.entries(user_id))


def _recorded(settings: Settings, user_id: str) -> list[Place]:
    """The relational store, where there is one."""
    url, on_this_machine = settings.records_url, "sqlite:///"
    if not settings.records.enabled:
        return []
    if url.startswith(on_this_machine) and not Path(url.removeprefix(on_this_machine)).exists():
        return []
    count = partial(asyncio.to_thread, record_rows, url, user_id)
    return [Place(name="records", unit="rows", count=count)]


async def _visits(keys: UserKeys, user_id: str) -> Sequence[str]:
    try:
        return await keys.visits(user_id)
    except StoreError:
        return ()


async def _keys(keys: UserKeys, user_id: str, visits: Sequence[str]) -> int:
    return len(await keys.read(user_id, visits=visits))


async def _rows(vectors: UserVectorReader, user_id: str) -> int:
    return int(await vectors.user(user_id) is not None)
