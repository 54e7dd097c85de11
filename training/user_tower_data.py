"""Questions to learn the user tower from: what was known of a user, and what they took next.

Purchases are lived in the order of time by the functions that the jobs and the service run, so a
question holds what a request of that moment would have, and nothing later.
"""

import csv
import gzip
import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from domain.embedding import UserEmbedding, learn
from domain.ranking_features import Activity
from domain.taste import Met, taste_of
from domain.text import TextEncoder, WordCounts
from domain.user_tower import INPUTS, tower_input

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

HOUR_MS = 3_600_000
RECENT = 50
# Within an order it is asked after so many lines of it.
ASKED_AFTER = (1, 2, 4, 8, 16, 32)


class Bought(NamedTuple):
    """A line of an order."""

    at_ms: int
    user_id: str
    order_id: str
    item_id: str
    title: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Items:
    """The catalogue: a unit vector a row."""

    ids: tuple[str, ...]
    vectors: Floats
    space: str

    @property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {item_id: row for row, item_id in enumerate(self.ids)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions:
    """A row a question: the tower's input, whose and when it is, and whether within an order.

    `wanted` are the items that came then, `met` those of the order so far.
    """

    told: NDArray[np.float16]
    users: NDArray[np.uint32]
    at_ms: Whole
    within: NDArray[np.bool_]
    wanted: tuple[Whole, ...]
    met: tuple[Whole, ...]

    def __len__(self) -> int:
        return len(self.told)

    def some(self, chosen: NDArray[np.bool_] | Whole) -> "Questions":
        """Only these."""
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        return Questions(
            told=self.told[rows],
            users=self.users[rows],
            at_ms=self.at_ms[rows],
            within=self.within[rows],
            wanted=tuple(self.wanted[row] for row in rows),
            met=tuple(self.met[row] for row in rows),
        )


def read_purchases(path: Path) -> list[Bought]:
    """Lines of a file of the form that `demo/data/README.md` tells, oldest first."""
    packed = path.suffix == ".gz"
    with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
        lines = [
            Bought(_ms(row["at"]), row["user_id"], row["order_id"], row["item_id"], row["title"])
            for row in csv.DictReader(file)
        ]
    return sorted(lines, key=lambda line: line.at_ms)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


def read_words(path: Path) -> WordCounts:
    """Word counts as `freshet catalog words` writes them."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return WordCounts(stored["texts"], stored["words"])


def items_of(purchases: Iterable[Bought], words: WordCounts) -> Items:
    """The items in the space of the words; those without a word are left out."""
    encoder = TextEncoder(words)
    titles = {line.item_id: line.title for line in purchases}
    vectors = {item_id: encoder.encode(title) for item_id, title in sorted(titles.items())}
    kept = {item_id: vector for item_id, vector in vectors.items() if vector.any()}
    return Items(ids=tuple(kept), vectors=np.stack(list(kept.values())), space=encoder.space)


@dataclass(kw_only=True)
class _User:
    """A user on their way. Changes with each purchase."""

    embedding: UserEmbedding = field(default_factory=UserEmbedding)
    recent: deque[Met] = field(default_factory=lambda: deque(maxlen=RECENT))
    times_ms: list[int] = field(default_factory=list)

    def takes(self, item_id: str, vector: Floats, at_ms: int) -> None:
        """Live a purchase."""
        self.times_ms.append(at_ms)
        learn(
            self.embedding,
            action="purchase",
            item_vector=vector,
            timestamp_ms=at_ms,
            latest_ms=at_ms,
        )
        self.recent.appendleft(Met(item_id=item_id, action="purchase", at_ms=at_ms, vector=vector))

    def told(self, now_ms: int) -> Floats:
        """What the tower would be told now."""
        held = self.embedding.vector
        activity = Activity(
            events_1h=self._since(now_ms - HOUR_MS),
            events_24h=self._since(now_ms - 24 * HOUR_MS),
            interactions=len(self.times_ms),
            last_event_ms=self.times_ms[-1],
        )
        taste = taste_of(tuple(self.recent), now_ms=now_ms)
        embedding = None if held is None else held.astype(np.float32)
        return tower_input(embedding, taste.mean, activity, now_ms=now_ms)

    def _since(self, at_ms: int) -> int:
        return sum(1 for one in self.times_ms if one > at_ms)


@dataclass(kw_only=True)
class _Asking:
    """Questions as they come up."""

    told: list[NDArray[np.float16]] = field(default_factory=list)
    users: list[int] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    wanted: list[Whole] = field(default_factory=list)
    met: list[Whole] = field(default_factory=list)

    def ask(self, user: _User, line: Bought, rows: Sequence[int], met: int) -> None:
        """Ask what comes after the first lines of an order."""
        self.told.append(user.told(line.at_ms).astype(np.float16))
        self.users.append(crc32(line.user_id.encode()))
        self.at_ms.append(line.at_ms)
        self.wanted.append(np.array(rows[met:], np.int64))
        self.met.append(np.array(rows[:met], np.int64))

    def asked(self) -> Questions:
        """All of them."""
        return Questions(
            told=np.stack(self.told) if self.told else np.zeros((0, INPUTS), np.float16),
            users=np.array(self.users, np.uint32),
            at_ms=np.array(self.at_ms, np.int64),
            within=np.array([len(met) > 0 for met in self.met], np.bool_),
            wanted=tuple(self.wanted),
            met=tuple(self.met),
        )


def questions_of(purchases: Sequence[Bought], items: Items) -> Questions:
    """Live the purchases; ask before each order of somebody known, and within it."""
    users: defaultdict[str, _User] = defaultdict(_User)
    asking, row_of = _Asking(), items.row_of
    for order in track(list(_orders(purchases)), "living the orders"):
        lines = {line.item_id: line for line in order if line.item_id in row_of}
        rows = [row_of[item_id] for item_id in lines]
        user = users[order[0].user_id]
        for number, line in enumerate(lines.values()):
            if user.times_ms and (number == 0 or number in ASKED_AFTER):
                asking.ask(user, line, rows, number)
            user.takes(line.item_id, items.vectors[rows[number]], line.at_ms)
    return asking.asked()


def _orders(purchases: Sequence[Bought]) -> Iterator[list[Bought]]:
    """Orders in the order of time; the lines of one follow each other."""
    first_ms: dict[str, int] = {}
    for line in purchases:
        first_ms.setdefault(line.order_id, line.at_ms)
    placed = sorted(purchases, key=lambda line: (first_ms[line.order_id], line.order_id))
    for _, lines in groupby(placed, key=lambda line: line.order_id):
        yield list(lines)


def shares_of(purchases: Iterable[Bought], items: Items, *, until_ms: int) -> Floats:
    """How large a share of what was bought until then each item had; never quite nothing."""
    row_of = items.row_of
    counts = Counter(line.item_id for line in purchases if line.at_ms < until_ms)
    found = np.ones(len(items.ids))
    for item_id, count in counts.items():
        if item_id in row_of:
            found[row_of[item_id]] += count
    return np.asarray(found / found.sum(), np.float32)
