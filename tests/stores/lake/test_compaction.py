"""One file of many; nobody sees both; whoever was erased is gone, wherever it is interrupted."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from operators.messages import Incoming
from schemas.lake import EVENTS, IMPRESSIONS, LAKE_TABLES, REWARDS, SNAPSHOTS, LakeTable
from stores.lake import compaction
from stores.lake.compaction import Compacted, Compaction
from stores.lake.erasure import FILE, Erasures
from stores.lake.errors import LakeError
from stores.lake.locks import compacting
from stores.lake.reading import Lake
from tests.stores.lake.lakes import (
    HOUR,
    event,
    hours_later,
    impression,
    message,
    read_back,
    reward,
    snapshot,
    users_of,
    write,
)

LATER = hours_later(3)


class KilledError(Exception):
    """Stands for a process that ends here."""


def compact(lake: Path, *, now_ms: int = LATER, **more: Any) -> Compacted:
    return Compaction(lake, now_ms, **more).run()


def clicks(count: int, *, first: int = 0, user: str = "u1", partition: int = 0) -> list[Incoming]:
    """Clicks, a second apart in the log, all of one hour."""
    return [
        message(
            EVENTS,
            event(f"{user}-{number}", user, at_ms=HOUR + number),
            number,
            partition=partition,
            log_time_ms=HOUR + number * 1_000,
        )
        for number in range(first, first + count)
    ]


def erase(user: str, offset: int, *, at_s: int) -> Incoming:
    record = event(f"erase-{user}", user, event_type="erase", item_id=None, at_ms=HOUR)
    return message(EVENTS, record, offset, log_time_ms=HOUR + at_s * 1_000)


def names(lake: Path) -> list[str]:
    return sorted(path.name[:5] for path in lake.rglob("*.parquet"))


def test_an_hour_that_is_over_becomes_one_sorted_file(tmp_path: Path) -> None:
    written = [*clicks(20), *clicks(20, user="u2", partition=1)]
    for start in (30, 0, 10, 20):
        write(tmp_path, written[start : start + 10])
    done = compact(tmp_path)
    assert (done.hours, done.files_before, done.rows, done.files_deleted) == (1, 4, 40, 4)
    (whole,) = tmp_path.rglob("*.parquet")
    rows = pq.read_table(whole, columns=["partition", "offset"]).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["partition"], row["offset"]))
    assert sorted(read_back(tmp_path)) == sorted(written)


def test_an_hour_that_is_not_over_is_left_alone(tmp_path: Path) -> None:
    for one in clicks(3):
        write(tmp_path, [one])
    assert compact(tmp_path, now_ms=HOUR + 3_600_000).hours == 0
    assert names(tmp_path) == ["part-"] * 3


def test_a_day_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, clicks(1))
    assert compact(tmp_path, day="2026-09-20").hours == 0
    assert compact(tmp_path, day="2026-09-21").hours == 1


def test_late_rows_are_put_to_the_others_later(tmp_path: Path) -> None:
    written = clicks(30)
    write(tmp_path, written[:20])
    compact(tmp_path)
    write(tmp_path, written[20:])
    compact(tmp_path)
    assert names(tmp_path) == ["whole"]
    assert read_back(tmp_path) == written
    assert compact(tmp_path) == Compacted()


def test_a_log_that_was_read_twice_is_in_the_lake_once(tmp_path: Path) -> None:
    write(tmp_path, clicks(10))
    write(tmp_path, clicks(12))
    assert compact(tmp_path).rows_doubled == 10
    (whole,) = tmp_path.rglob("*.parquet")
    assert pq.read_metadata(whole).num_rows == 12


def test_a_large_hour_is_put_together_partition_by_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", 10)
    written = [*clicks(20), *clicks(20, user="u2", partition=3)]
    write(tmp_path, written[10:])
    write(tmp_path, written[:10])
    compact(tmp_path)
    (whole,) = tmp_path.rglob("*.parquet")
    assert pq.read_metadata(whole).num_row_groups == 2
    assert sorted(read_back(tmp_path)) == sorted(written)


@pytest.mark.parametrize(
    ("limit", "portions"), [(1, [(0, 1), (1, 7), (7, 8)]), (5, [(0, 7), (7, 8)]), (99, [(0, 8)])]
)
def test_memory_holds_partitions_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, limit: int, portions: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", limit)
    found = compaction._portions(Counter({0: 2, 1: 3, 7: 4}))
    assert [(one.start, one.stop) for one in found] == portions


def test_a_large_file_begins_a_group_with_each_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "GROUP_ROWS", 10)
    written = [*clicks(20), *clicks(20, user="u2", partition=3)]
    write(tmp_path, written)
    compact(tmp_path)
    (whole,) = tmp_path.rglob("*.parquet")
    assert pq.read_metadata(whole).num_row_groups == 2
    assert sorted(read_back(tmp_path)) == sorted(written)


@pytest.mark.parametrize("steps", range(1, 8))
def test_killed_anywhere_readers_see_each_row_once_and_the_next_run_ends_it(
    tmp_path: Path, steps: int
) -> None:
    written = [*clicks(9), *clicks(9, user="gone", partition=1)]
    for start in range(0, 18, 6):
        write(tmp_path, written[start : start + 6])
    write(tmp_path, [erase("gone", 20, at_s=60)])
    kept = sorted(written[:9])
    with pytest.raises(KilledError):
        compact(tmp_path, step=_killed_at(steps))
    seen = sorted(read_back(tmp_path))
    assert seen in (sorted([*written, erase("gone", 20, at_s=60)]), kept)
    # Late rows come between the two runs.
    write(tmp_path, clicks(1, first=9))
    compact(tmp_path)
    assert sorted(read_back(tmp_path)) == [*kept, *clicks(1, first=9)]
    assert names(tmp_path) == ["whole"]
    assert list(tmp_path.rglob(".whole*")) == []


def _killed_at(steps: int) -> Callable[[str], None]:
    left = iter(range(steps - 1))

    def step(_: str) -> None:
        if next(left, None) is None:
            raise KilledError

    return step


def test_a_file_that_was_replaced_twice_does_not_come_back(tmp_path: Path) -> None:
    """Its deletion is waited for through two compactions, and the second is interrupted."""
    write(tmp_path, clicks(5))
    write(tmp_path, clicks(5, first=5))
    with Lake(tmp_path).reading():
        assert compact(tmp_path, patience_s=0).files_waiting == 2
        write(tmp_path, clicks(5, first=10))
        assert compact(tmp_path, patience_s=0).files_waiting == 4
        assert read_back(tmp_path) == clicks(15)
    (first, second) = sorted(tmp_path.rglob("whole*"), key=lambda path: path.stat().st_mtime_ns)
    first.unlink()
    assert read_back(tmp_path) == clicks(15)
    compact(tmp_path)
    assert list(tmp_path.rglob("*.parquet")) == [second]


def test_a_reader_goes_on_reading_what_it_found(tmp_path: Path) -> None:
    for one in clicks(6):
        write(tmp_path, [one])
    reader = Lake(tmp_path).messages([EVENTS])
    first = next(reader)
    assert compact(tmp_path, patience_s=0).files_waiting == 6
    assert [first.position.offset, *(m.position.offset for m in reader)] == list(range(6))
    assert compact(tmp_path).files_deleted == 6


def test_two_compactions_do_not_run_at_once(tmp_path: Path) -> None:
    with (
        compacting(tmp_path),
        pytest.raises(LakeError, match=r"another compaction of .* runs; wait until it has ended"),
    ):
        compact(tmp_path)


def everything_of(user: str, *, offset: int, log_time_ms: int) -> list[Incoming]:
    rows: list[tuple[LakeTable, Any]] = [
        (EVENTS, event(f"e-{user}-{offset}", user)),
        (IMPRESSIONS, impression(f"r-{user}-{offset}", user)),
        (REWARDS, reward(f"b-{user}-{offset}", user, log_time_ms=log_time_ms)),
        (SNAPSHOTS, snapshot(user, offset, log_time_ms=log_time_ms)),
    ]
    return [message(table, one, offset, log_time_ms=log_time_ms) for table, one in rows]


def test_an_erased_user_is_gone_from_every_table_and_others_stay(tmp_path: Path) -> None:
    for offset, user in enumerate(("gone", "stays")):
        write(tmp_path, everything_of(user, offset=offset, log_time_ms=HOUR + 1_000))
    write(tmp_path, [erase("gone", 5, at_s=2)])
    # Before the hour is over, because whoever asks to be forgotten does not wait for that.
    done = compact(tmp_path, now_ms=HOUR + 5_000)
    assert (done.rows_erased, done.erasures) == (5, 1)
    for table in LAKE_TABLES:
        assert users_of(tmp_path, table) == ["stays"]
    assert not any(b"gone" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_rows_from_after_the_erasure_stay(tmp_path: Path) -> None:
    write(tmp_path, everything_of("u1", offset=0, log_time_ms=HOUR + 2_000))
    write(tmp_path, [erase("u1", 1, at_s=2)])
    write(tmp_path, everything_of("u1", offset=2, log_time_ms=HOUR + 2_001))
    compact(tmp_path)
    for table in LAKE_TABLES:
        assert users_of(tmp_path, table) == ["u1"]
    assert {found.offset for found in read_back(tmp_path)} == {2}


def test_what_is_made_of_an_erased_event_later_goes_too(tmp_path: Path) -> None:
    """A snapshot and a reward reach their topics after the event behind them."""
    made = (message(REWARDS, reward("b", "u1"), 0), message(SNAPSHOTS, snapshot("u1", 1), 0))
    write(tmp_path, [replaced(one, log_time_ms=HOUR + 60_000) for one in made])
    write(tmp_path, [erase("u1", 1, at_s=30)])
    assert compact(tmp_path).rows_erased == 3


def replaced(one: Incoming, *, log_time_ms: int) -> Incoming:
    return one._replace(log_time_ms=log_time_ms)


def test_late_rows_of_an_erased_user_go_when_they_come(tmp_path: Path) -> None:
    write(tmp_path, [erase("gone", 9, at_s=60)])
    compact(tmp_path)
    write(tmp_path, clicks(3, user="gone"))
    done = compact(tmp_path)
    assert (done.rows_erased, done.erasures) == (3, 1)
    assert users_of(tmp_path, EVENTS) == []


def test_an_erasure_reaches_what_was_put_together_before(tmp_path: Path) -> None:
    write(tmp_path, [*clicks(3), *clicks(3, user="u2", partition=1)])
    compact(tmp_path)
    write(tmp_path, [erase("u1", 9, at_s=60)])
    assert compact(tmp_path).rows_erased == 4
    assert users_of(tmp_path, EVENTS) == ["u2"] * 3


def test_the_list_of_the_erased_has_no_names(tmp_path: Path) -> None:
    write(tmp_path, [erase("gone", 0, at_s=60)])
    compact(tmp_path)
    known = Erasures.load(tmp_path)
    assert [one.log_time_ms for one in known.found] == [HOUR + 60_000]
    assert known.of(["gone", "stays"]) == {"gone": HOUR + 60_000}
    assert "gone" not in (tmp_path / FILE).read_text()
    # In another lake the same user has another name.
    other = replace(known, key=bytes(32))
    assert other.of(["gone"]) == {}


def test_a_broken_list_of_the_erased_stops_the_compaction(tmp_path: Path) -> None:
    write(tmp_path, clicks(1))
    (tmp_path / FILE).write_text("{")
    with pytest.raises(LakeError, match="bring it back from a copy"):
        compact(tmp_path)
