"""What the show needs: the catalogue where it is served from, and the history counted."""

import asyncio
import json
import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from demo.catalog import CatalogItem
from demo.load import load
from demo.purchases import Purchase
from demo.replay import Plan, Rebase, Sender, schedule
from demo.service import Service
from domain.text import TextEncoder
from schemas.topics import ITEMS, USER_EVENTS
from settings import Settings
from stores.event_log import EventLog
from stores.online import OnlineReader

STORE_TIMEOUT_MS = 5_000
LOOK_EVERY_S = 1.0
# Nothing moved for so long: whatever should carry it isn't working.
PATIENCE_S = 60.0
# What was sent long ago has either been counted by now, or is gone from the store.
PATIENCE_WITH_OLD_S = 15.0

Report = Callable[[int], None]


class PreparationError(Exception):
    """Something doesn't arrive where it should; the message says what was seen."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Which history is in which log, so that it isn't sent again."""

    bootstrap: str
    run: str
    events: int

    @classmethod
    def read(cls, file: Path) -> "Sent | None":
        """What the file says, None without one."""
        return cls(**json.loads(file.read_text())) if file.exists() else None

    def write(self, file: Path) -> None:
        """Keep it."""
        file.write_text(json.dumps(asdict(self)))


async def serve_catalog(
    settings: Settings,
    service: Service,
    items: Sequence[CatalogItem],
    *,
    encoder: TextEncoder,
    report: Report,
) -> bool:
    """Have the items served; answers whether they had to be sent."""
    if await service.catalog_size() >= len(items):
        report(len(items))
        return False
    await asyncio.to_thread(_send_items, settings, items, encoder)
    await _until_whole(service.catalog_size, total=len(items), what="items served", report=report)
    return True


def _send_items(settings: Settings, items: Sequence[CatalogItem], encoder: TextEncoder) -> None:
    with EventLog(settings.kafka.bootstrap, client_id="freshet-demo") as log:
        sent = load(
            items,
            encoder=encoder,
            updated_at_ms=int(time.time() * 1000),
            send=lambda event: log.send(ITEMS, event.item_id, event),
        )
        for _ in sent:
            pass


def send_history(
    settings: Settings, purchases: Sequence[Purchase], *, run: str, report: Report
) -> None:
    """Send all purchases, the last one as of now."""
    plan = Plan(speed=0.0, rebase=Rebase.END, start_ms=int(time.time() * 1000), run=run)
    with EventLog(settings.kafka.bootstrap, client_id="freshet-demo") as log:
        sender = Sender(
            send=lambda event: log.send(USER_EVENTS, event.user_id, event),
            clock=time.monotonic,
            sleep=time.sleep,
        )
        for _ in sender.run(schedule(purchases, plan)):
            report(sender.sent)


class Counted:
    """How much of a history is in the online store, user by user."""

    def __init__(self, reader: OnlineReader, purchases: Sequence[Purchase]) -> None:
        self._reader = reader
        self._expected: Mapping[str, int] = Counts(purchase.user_id for purchase in purchases)
        self._found: dict[str, int] = dict.fromkeys(self._expected, 0)
        self.total = len(purchases)

    async def look(self) -> int:
        """Count the events that users' states know; only users who lack some are read."""
        lacking = [user for user, n in self._expected.items() if self._found[user] < n]
        views = await asyncio.gather(*(self._reader.user(user, recent=0) for user in lacking))
        for view in views:
            known = min(view.total_interactions, self._expected[view.user_id])
            self._found[view.user_id] = known
        return sum(self._found.values())

    async def wait(self, *, patience_s: float, report: Report) -> None:
        """Wait until all are counted; raises PreparationError if nothing moves any more."""
        await _until_whole(
            self.look,
            total=self.total,
            what="events counted",
            report=report,
            patience_s=patience_s,
        )


async def popularity_counted(
    reader: OnlineReader, purchases: Sequence[Purchase], *, report: Report
) -> None:
    """Wait until every sale counts for its item too; that is carried behind the users' states."""

    async def look() -> int:
        pages = [page async for page in reader.all_items()]
        return sum(item.total_events for page in pages for item in page)

    await _until_whole(look, total=len(purchases), what="events in popularity", report=report)


async def _until_whole(
    look: Callable[[], Awaitable[int]],
    *,
    total: int,
    what: str,
    report: Report,
    patience_s: float = PATIENCE_S,
) -> None:
    done, moved_at = -1, time.monotonic()
    while True:
        now_done = await look()
        if now_done != done:
            done, moved_at = now_done, time.monotonic()
            report(min(done, total))
        if done >= total:
            return
        if time.monotonic() - moved_at > patience_s:
            raise PreparationError(
                f"{done:,} of {total:,} {what}, and for {patience_s:.0f} s no more"
            )
        await asyncio.sleep(LOOK_EVERY_S)
