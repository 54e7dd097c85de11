import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from demo import preparation
from demo.catalog import CatalogItem
from demo.preparation import Counted, PreparationError, Sent, popularity_counted, serve_catalog
from demo.purchases import Purchase
from demo.service import Service
from domain.text import TextEncoder
from settings import Settings
from stores.online import OnlineReader
from stores.views import ItemView, UserView


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "LOOK_EVERY_S", 0.001)


def bought(user: str) -> Purchase:
    return Purchase(
        timestamp_ms=0,
        user_id=user,
        order_id="o",
        item_id="i",
        quantity=1,
        price=1.0,
        country="GB",
        title="RED MUG",
    )


ITEMS = [CatalogItem(item_id=f"i{n}", title="RED MUG") for n in range(3)]
HISTORY = [bought("a"), bought("a"), bought("b")]


@dataclass
class FakeReader:
    """Users whose events are counted one more with each look, up to a limit."""

    limits: dict[str, int]
    asked: list[str] = field(default_factory=list)
    looks: Iterator[int] = field(default_factory=count)

    async def user(self, user_id: str, *, recent: int) -> UserView:
        assert recent == 0
        self.asked.append(user_id)
        seen = min(self.asked.count(user_id), self.limits[user_id])
        return UserView(user_id=user_id, version=seen, total_interactions=seen)


def counted(**limits: int) -> tuple[Counted, FakeReader]:
    reader = FakeReader(limits)
    return Counted(cast("OnlineReader", reader), HISTORY), reader


async def test_waiting_ends_when_every_event_is_counted() -> None:
    waiting, _ = counted(a=2, b=1)
    seen: list[int] = []
    await waiting.wait(patience_s=5, report=seen.append)

    assert seen == [2, 3]


async def test_only_users_who_lack_events_are_read_again() -> None:
    waiting, reader = counted(a=2, b=1)
    await waiting.wait(patience_s=5, report=lambda _: None)

    assert (reader.asked.count("a"), reader.asked.count("b")) == (2, 1)


class KnownBefore:
    """A store that knows more of each user than the history has."""

    async def user(self, user_id: str, *, recent: int) -> UserView:
        assert recent == 0
        total = {"a": 1, "b": 9}[user_id]
        return UserView(user_id=user_id, version=total, total_interactions=total)


async def test_events_beside_the_history_do_not_count_for_it() -> None:
    assert await Counted(cast("OnlineReader", KnownBefore()), HISTORY).look() == 2


async def test_a_history_that_does_not_arrive_is_told_with_counts() -> None:
    waiting, _ = counted(a=1, b=1)

    with pytest.raises(PreparationError, match="2 of 3 events counted, and for 0 s no more"):
        await waiting.wait(patience_s=0.05, report=lambda _: None)


class FakeItems:
    """Two pages of items whose events are counted one more with each look."""

    def __init__(self) -> None:
        self.looks = count()

    async def all_items(self) -> AsyncIterator[list[ItemView]]:
        look = next(self.looks)
        for item_id, total in (("i1", 2), ("i2", 1)):
            yield [ItemView(item_id=item_id, changed_at_ms=1, total_events=min(look, total))]


async def test_the_items_popularity_is_waited_for_too() -> None:
    seen: list[int] = []
    await popularity_counted(cast("OnlineReader", FakeItems()), HISTORY, report=seen.append)

    assert seen == [0, 2, 3]


@dataclass
class FakeService:
    sizes: list[int]

    async def catalog_size(self) -> int:
        await asyncio.sleep(0)
        return self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[CatalogItem]:
    """What goes to the log."""
    found: list[CatalogItem] = []
    monkeypatch.setattr(preparation, "_send_items", lambda _, items, __: found.extend(items))
    return found


async def serve(service: FakeService) -> tuple[bool, list[int]]:
    seen: list[int] = []
    was_sent = await serve_catalog(
        Settings(), cast("Service", service), ITEMS, encoder=TextEncoder(), report=seen.append
    )
    return was_sent, seen


async def test_a_catalogue_that_is_served_is_not_sent_again(sent: list[CatalogItem]) -> None:
    assert await serve(FakeService([3])) == (False, [3])
    assert sent == []


async def test_a_catalogue_is_sent_and_waited_for(sent: list[CatalogItem]) -> None:
    assert await serve(FakeService([0, 1, 1, 3])) == (True, [1, 3])
    assert sent == ITEMS


def test_what_was_sent_is_remembered(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    sent = Sent(bootstrap="127.0.0.1:1", run="shop", events=3)

    assert Sent.read(file) is None
    sent.write(file)
    assert Sent.read(file) == sent
