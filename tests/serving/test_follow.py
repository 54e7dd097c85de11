import asyncio
from dataclasses import replace

import pytest

from serving.catalog import Catalog
from serving.follow import PAGE, CatalogFollower
from serving.metrics import Metrics
from tests.serving.pretended import NOW_MS, PretendedOnline, axis, count_of, item


def follower(online: PretendedOnline, catalog: Catalog, metrics: Metrics) -> CatalogFollower:
    return CatalogFollower(catalog, online, metrics=metrics, every_s=0.01, now_ms=lambda: NOW_MS)


async def test_all_pages_are_read_and_later_only_changes() -> None:
    many = 2 * PAGE + 1
    items = [replace(item(f"i{n}", vector=axis(0)), changed_at_ms=n + 1) for n in range(many)]
    online = PretendedOnline(items=items, heaviest=[("i3", 5.0)])
    catalog, metrics = Catalog(), Metrics()
    following = follower(online, catalog, metrics)
    await following.refresh()
    assert len(catalog) == many
    assert catalog.trending == [3]
    assert count_of(metrics, "freshet_catalog_items") == many

    online.items.append(replace(item("i0", price=99.0), changed_at_ms=many + 1))
    await following.refresh()
    assert catalog.version == many + 1
    assert catalog.column("prices")[0] == 99.0


async def test_while_the_store_is_away_the_catalogue_stays() -> None:
    online = PretendedOnline(items=[item("a")])
    catalog, metrics = Catalog(), Metrics()
    following = follower(online, catalog, metrics)
    await following.try_refresh()
    online.away = True
    await following.try_refresh()
    await following.try_refresh()
    assert len(catalog) == 1
    assert count_of(metrics, "freshet_catalog_refresh_failures_total") == 2
    online.away = False
    online.items.append(replace(item("b"), changed_at_ms=2))
    await following.try_refresh()
    assert len(catalog) == 2


async def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    following = follower(PretendedOnline(items=[item("a")]), Catalog(), Metrics())
    monkeypatch.setattr(Catalog, "apply", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await following.try_refresh()


async def test_it_follows_for_ever() -> None:
    online = PretendedOnline()
    catalog = Catalog()
    running = asyncio.create_task(follower(online, catalog, Metrics()).run())
    await asyncio.sleep(0.03)
    online.items.append(item("late"))
    await asyncio.sleep(0.05)
    running.cancel()
    assert catalog.ids == ["late"]
