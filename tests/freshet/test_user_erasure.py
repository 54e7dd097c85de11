import asyncio
from pathlib import Path

import pytest

from freshet import user_erasure
from freshet.user_erasure import (
    BY_COMPACTION,
    Place,
    _recorded,
    consent_event,
    erase_event,
    lake_rows,
    record_rows,
    until_clear,
)
from settings import Settings
from settings.model import RecordSettings
from stores.errors import StoreUnavailable
from stores.records.database import Database
from stores.records.learned import LearnedWriter
from tests.stores.records import user_snapshot


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_erasure, "LOOK_EVERY_S", 0.0)


def place(*counts: int | Exception, later: str = "") -> Place:
    """A place that counts one after the other, the last one for ever."""
    left = list(counts)

    async def count() -> int:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    return Place(name="p", unit="keys", count=count, later=later)


async def test_it_looks_until_every_place_is_clear() -> None:
    reports: list[tuple[int, int]] = []
    places = [place(2, 1, 0), place(0), place(StoreUnavailable("Redis", "away"), 3, 0)]
    await until_clear(places, timeout_s=60, report=lambda *told: reports.append(told))
    assert reports == [(1, 3), (1, 3), (3, 3)]
    assert [(one.left, one.trouble) for one in places] == [(0, "")] * 3


async def test_what_is_left_when_the_time_is_over_is_told() -> None:
    stuck, away = place(2), place(StoreUnavailable("Milvus", "no route"))
    times = iter([0.0, 1.0, 11.0])
    await until_clear(
        [stuck, away], timeout_s=10, report=lambda *_: None, clock=lambda: next(times)
    )
    assert (stuck.left, stuck.is_clear) == (2, False)
    assert (away.is_clear, away.trouble) == (False, "Milvus is not available: no route")


async def test_what_goes_later_is_not_waited_for() -> None:
    lake = place(40, later=BY_COMPACTION)
    await until_clear([lake], timeout_s=60, report=lambda *_: None)
    assert (lake.left, lake.is_clear) == (40, True)


def test_the_events_say_what_is_wanted() -> None:
    erase, again = (erase_event("u1", now_ms=5) for _ in range(2))
    assert (erase.user_id, erase.event_type, erase.timestamp_ms) == ("u1", "erase", 5)
    assert erase.event_id != again.event_id
    withdrawn = consent_event("u1", granted=False, now_ms=5)
    assert (withdrawn.event_type, withdrawn.consent) == ("preference_update", False)


def test_where_there_is_no_lake_nothing_lies_in_it(tmp_path: Path) -> None:
    assert lake_rows(Settings(data_dir=tmp_path), "u1") == 0
    assert list(tmp_path.iterdir()) == []


def test_records_are_counted_where_there_are_any(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert _recorded(settings, "u1") == []
    with Database(settings.records_url) as database:
        database.prepare()
        LearnedWriter(database).write(users=[user_snapshot("u1", 1)])
    (place,) = _recorded(settings, "u1")
    assert asyncio.run(place.look()) == 1
    assert record_rows(settings.records_url, "nobody") == 0
    disabled = settings.model_copy(update={"records": RecordSettings(enabled=False)})
    assert _recorded(disabled, "u1") == []
