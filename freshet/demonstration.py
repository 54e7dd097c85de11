"""The demo, step by step: servers, topics, jobs, service, catalogue, history, show."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.catalog import CatalogFileError, CatalogItem, catalog_of, read_words
from demo.preparation import (
    PATIENCE_S,
    PATIENCE_WITH_OLD_S,
    Counted,
    PreparationError,
    Sent,
    popularity_counted,
    send_history,
    serve_catalog,
)
from demo.progress import Counter
from demo.purchases import Purchase, PurchaseFileError, read_purchases
from demo.screen import Screen
from demo.service import Answer, Service, ServiceError
from demo.show import Outcome, ShowError, Stage, play
from demo.story import Customer, Shop, StoryError
from domain.text import TextEncoder
from freshet import job_submission
from freshet.progress import Progress
from settings import Settings
from stack import lifecycle, preflight
from stack.part import StackError
from stores.errors import StoreError
from stores.event_log import create_topics
from stores.online import OnlineReader

FIRST_RUN = "shop"
STORE_TIMEOUT_MS = 5_000
NEXT = {
    "measure event to answer": "freshet probe freshness",
    "the history as a live stream": "freshet replay --speed 3600 --run live",
    "how the parts are": "freshet stack status",
    "stop everything": "freshet stack down",
}
EXPLAINED = (
    StackError,
    preflight.Missing,
    StoreError,
    ServiceError,
    PreparationError,
    StoryError,
    ShowError,
    CatalogFileError,
    PurchaseFileError,
)


class DemoError(Exception):
    """A step failed; the message says which, why, and where to look."""


@dataclass(kw_only=True)
class Demonstration:
    """One run of the demo. Steps that find their work done are quick."""

    settings: Settings
    console: Console
    took_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._screen = Screen(self.console)
        self._purchases: list[Purchase] = []
        self._items: list[CatalogItem] = []
        self._encoder = TextEncoder()

    def run(self) -> Outcome:
        """Prepare, play, and say what runs on; raises DemoError."""
        self._prepare()
        outcome = asyncio.run(self._load_and_play())
        self._screen.after(outcome)
        self._screen.farewell(self.addresses(), NEXT)
        return outcome

    def _prepare(self) -> None:
        with self._step("servers", "Starting the servers", look="freshet stack logs"):
            preflight.require(preflight.FOR_STACK)
            self._up(lifecycle.SERVERS)
        with self._step("topics", "Creating the topics", look="freshet stack logs kafka"):
            self._create_topics()
        with self._step("jobs", "Submitting the jobs", look="freshet stack logs flink"):
            job_submission.submit(self.settings, job_submission.JOBS, say=self._screen.note)
        with self._step("service", "Starting writers and service", look="freshet stack logs api"):
            self._up(lifecycle.SERVICE)
        with self._step("data", "Reading the shop's history", look="demo/data/README.md"):
            self._read()

    def addresses(self) -> dict[str, str]:
        """Where to look while it runs."""
        return {
            "the service, to try it in a browser": f"{self._service_address()}/docs",
            "Flink's own page": f"http://{self.settings.flink.rest_address}",
        }

    async def _load_and_play(self) -> Outcome:
        async with (
            Service(self._service_address()) as service,
            OnlineReader(self.settings.redis.url, timeout_ms=STORE_TIMEOUT_MS) as reader,
        ):
            with self._step(
                "catalogue", "Loading the catalogue", look="freshet stack logs writers"
            ):
                await self._serve_catalog(service)
            with self._step("history", "Loading the history", look="freshet stack logs writers"):
                await self._count_history(reader)
                await self._count_popularity(reader)
            with self._step("show", "", look="freshet probe freshness"):
                return await self._play(service)

    def _up(self, names: tuple[str, ...]) -> None:
        with Progress(names, console=self.console) as progress:
            lifecycle.up(self.settings, names, progress=progress.show)

    def _create_topics(self) -> None:
        kafka = self.settings.kafka
        report = create_topics(
            kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication
        )
        self._screen.note(f"{len(report.created)} created" if report.created else "all are there")

    def _read(self) -> None:
        self._purchases = read_purchases()
        self._items = catalog_of(self._purchases)
        self._encoder = TextEncoder(read_words())
        users = len({purchase.user_id for purchase in self._purchases})
        self._screen.note(
            f"{len(self._purchases):,} purchases of {len(self._items):,} items by {users} users"
        )

    async def _serve_catalog(self, service: Service) -> None:
        with Counter("items served", total=len(self._items), console=self.console) as counter:
            await serve_catalog(
                self.settings, service, self._items, encoder=self._encoder, report=counter.reach
            )

    async def _count_history(self, reader: OnlineReader) -> None:
        """Send the history unless this log has it; once more if it is gone from the store."""
        sent = Sent.read(self._sent_file)
        if sent is None or sent.bootstrap != self.settings.kafka.bootstrap:
            await self._send_and_wait(reader, run=FIRST_RUN)
            return
        try:
            await self._wait(Counted(reader, self._purchases), patience_s=PATIENCE_WITH_OLD_S)
        except PreparationError as error:
            self._screen.note(f"{error}: contexts live for a day; sending the history again")
            await self._send_and_wait(reader, run=f"{FIRST_RUN}-{secrets.token_hex(4)}")

    async def _count_popularity(self, reader: OnlineReader) -> None:
        total = len(self._purchases)
        with Counter("events in popularity", total=total, console=self.console) as counter:
            await popularity_counted(reader, self._purchases, report=counter.reach)

    async def _send_and_wait(self, reader: OnlineReader, *, run: str) -> None:
        total = len(self._purchases)
        with Counter("events in the log", total=total, console=self.console) as counter:
            await asyncio.to_thread(
                send_history, self.settings, self._purchases, run=run, report=counter.reach
            )
        sent = Sent(bootstrap=self.settings.kafka.bootstrap, run=run, events=total)
        sent.write(self._sent_file)
        await self._wait(Counted(reader, self._purchases), patience_s=PATIENCE_S)

    async def _wait(self, counted: Counted, *, patience_s: float) -> None:
        with Counter("events counted", total=counted.total, console=self.console) as counter:
            await counted.wait(patience_s=patience_s, report=counter.reach)

    async def _play(self, service: Service) -> Outcome:
        shop = Shop(self._purchases, self._items, encoder=self._encoder)
        stage = Stage(service=service, shop=shop, session=f"demo-{secrets.token_hex(4)}")
        return await play(stage, on_before=self._show_before, on_theme=self._screen.theme)

    def _show_before(self, customer: Customer, answer: Answer) -> None:
        titles = {item.item_id: item.title for item in self._items}
        self._screen.before(customer, answer, titles)

    @property
    def _sent_file(self) -> Path:
        return self.settings.data_dir / "demo.json"

    def _service_address(self) -> str:
        return f"http://{self.settings.serving.host}:{self.settings.serving.port}"

    @contextmanager
    def _step(self, name: str, text: str, *, look: str) -> Iterator[None]:
        if text:
            self._screen.step(text)
        began = time.monotonic()
        try:
            yield
        except EXPLAINED as error:
            raise DemoError(f"step {name} failed: {error}\nlook at: {look}") from error
        self.took_s[name] = round(time.monotonic() - began, 1)


def summary(demonstration: Demonstration, outcome: Outcome) -> dict[str, Any]:
    """The run as data."""
    was, now = outcome.of_theme
    return {
        "took_s": demonstration.took_s,
        "user_id": outcome.customer.user_id,
        "theme": outcome.theme.category,
        "events": outcome.accepted,
        "before": outcome.before.ids,
        "after": outcome.after.ids,
        "new": outcome.new_ids,
        "of_theme": {"before": was, "after": now},
        "changed_ms": round(outcome.changed_ms, 1),
        "complete_ms": round(outcome.complete_ms, 1),
        "fallbacks": outcome.after.fallbacks,
        "addresses": demonstration.addresses(),
    }
