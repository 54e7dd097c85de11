"""Logs of sessions to learn from: a shop's orders, and made-up news and a made-up market."""

import csv
import gzip
import random
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import NamedTuple

from schemas.types import EventType

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_000_000
REDUCED = Path(__file__).parents[1] / "demo" / "data" / "online_retail.csv.gz"


class Step(NamedTuple):
    """An item met in a session."""

    at_ms: int
    session: str
    item_id: str
    kind: EventType


def retail(path: Path) -> list[Step]:
    """Orders as sessions: of the reduced file of the demo, or of the original one as CSV."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        found = [step for row in csv.DictReader(file) if (step := _order_line(row)) is not None]
    return sorted(found, key=lambda step: step.at_ms)


def _order_line(row: dict[str, str]) -> Step | None:
    if "order_id" in row:
        return Step(_ms(row["at"]), row["order_id"], row["item_id"], "purchase")
    if not row["CustomerID"] or row["InvoiceNo"].startswith("C") or int(row["Quantity"]) <= 0:
        return None
    return Step(_ms(row["InvoiceDate"]), row["InvoiceNo"], row["StockCode"], "purchase")


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


class Article(NamedTuple):
    """What is read for an hour or two, and how much of a draw it is."""

    at_ms: int
    item_id: str
    topic: int
    draw: float


class News:
    """Articles of some topics, read for an hour or two, and pages of topics that stay."""

    TOPICS = 30
    FADES_MS = 40 * MINUTE_MS / log(2)
    HOURS = 72

    def __init__(self, seed: int) -> None:
        self._chance = chance = random.Random(seed)
        first_ms = START_MS - 8 * HOUR_MS
        self._articles = sorted(
            Article(
                first_ms + int(chance.random() * (self.HOURS + 8) * HOUR_MS),
                f"n{number}",
                chance.randrange(self.TOPICS),
                chance.paretovariate(1.3),
            )
            for number in range(self.HOURS * 26)
        )
        self._times = [article.at_ms for article in self._articles]

    def steps(self, sessions: int) -> list[Step]:
        """All sessions, in the order of time."""
        found: list[Step] = []
        for number in range(sessions):
            start_ms = START_MS + self._chance.random() * self.HOURS * HOUR_MS
            found += self._session(f"s{number}", start_ms)
        return sorted(found)

    def _session(self, session: str, at_ms: float) -> Iterator[Step]:
        chance, seen = self._chance, set[str]()
        topic = chance.randrange(self.TOPICS)
        for _ in range(1 + min(15, int(chance.expovariate(1 / 4)))):
            if chance.random() < 0.3 and f"top{topic}" not in seen:
                seen.add(f"top{topic}")
                yield Step(int(at_ms), session, f"top{topic}", "view")
                at_ms += chance.expovariate(1 / 30_000)
            article = self._pick(topic, at_ms, seen)
            if article is None:
                return
            seen.add(article.item_id)
            yield Step(int(at_ms), session, article.item_id, "click")
            at_ms += chance.expovariate(1 / 90_000)
            topic = topic if chance.random() < 0.9 else article.topic

    def _pick(self, topic: int, at_ms: float, seen: set[str]) -> Article | None:
        fresh = self._articles[
            bisect(self._times, at_ms - 6 * self.FADES_MS) : bisect(self._times, at_ms)
        ]
        if self._chance.random() < 0.75:
            fresh = [article for article in fresh if article.topic == topic] or fresh
        fresh = [article for article in fresh if article.item_id not in seen]
        if not fresh:
            return None
        draws = [one.draw * exp(-(at_ms - one.at_ms) / self.FADES_MS) for one in fresh]
        return self._chance.choices(fresh, draws)[0]


class Market:
    """Goods that are bought with others for half a year; a fifth changes company each 45 days."""

    ITEMS, GROUP, DAYS, ERA_DAYS = 4_000, 8, 180, 45
    KINDS: tuple[EventType, ...] = ("view", "click", "add_to_cart", "purchase")
    SHARES = (60, 25, 10, 5)

    def __init__(self, seed: int) -> None:
        self._chance = chance = random.Random(seed)
        self._popular = [chance.paretovariate(1.1) for _ in range(self.ITEMS)]
        eras = self.DAYS // self.ERA_DAYS + 1
        self._stays, *self._changing = (self._groups() for _ in range(eras + 1))

    def steps(self, sessions: int) -> list[Step]:
        """All sessions, in the order of time."""
        found: list[Step] = []
        for number in range(sessions):
            start_ms = START_MS + self._chance.random() * self.DAYS * DAY_MS
            found += self._session(f"s{number}", start_ms)
        return sorted(found)

    def _groups(self) -> dict[int, list[int]]:
        order = self._chance.sample(range(self.ITEMS), self.ITEMS)
        bounds = pairwise(range(0, self.ITEMS + 1, self.GROUP))
        return {item: order[a:b] for a, b in bounds for item in order[a:b]}

    def _session(self, session: str, at_ms: float) -> Iterator[Step]:
        chance, seen = self._chance, set[int]()
        changing = self._changing[int(at_ms - START_MS) // (self.ERA_DAYS * DAY_MS)]
        item = self._any()
        for _ in range(2 + min(20, int(chance.expovariate(1 / 5)))):
            if item not in seen:
                seen.add(item)
                kind = chance.choices(self.KINDS, self.SHARES)[0]
                yield Step(int(at_ms), session, f"m{item}", kind)
                at_ms += chance.expovariate(1 / 60_000)
            near = (self._stays if item % 5 else changing)[item]
            item = chance.choice(near) if chance.random() < 0.6 else self._any()

    def _any(self) -> int:
        return self._chance.choices(range(self.ITEMS), self._popular)[0]
