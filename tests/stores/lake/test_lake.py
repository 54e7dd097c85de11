"""What goes into a lake comes out again: as columns, and as the messages that it was."""

import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.messages import Incoming
from schemas.codec import decode
from schemas.lake import EVENTS, IMPRESSIONS, LAKE_TABLES, PAYLOAD, PLACE, REWARDS, SNAPSHOTS
from schemas.types import UserEvent
from stores.lake import files
from stores.lake.columns import arrow_schema
from stores.lake.errors import LakeError
from stores.lake.reading import Lake
from tests.stores.lake.lakes import (
    HOUR,
    event,
    full_event,
    hours_later,
    impression,
    message,
    read_back,
    reward,
    snapshot,
    write,
)


def one_of_each() -> list[Incoming]:
    return [
        message(EVENTS, full_event(), 1),
        message(EVENTS, event("bare", "u2", item_id=None), 2),
        message(IMPRESSIONS, impression("r1", "u1"), 3),
        message(REWARDS, reward("b1", None), 4),
        message(SNAPSHOTS, snapshot("u1", 7), 5),
    ]


def scattered(count: int) -> Iterator[Incoming]:
    """Events of three partitions in the order of the log, most of now, some of hours ago."""
    chance = random.Random(7)
    for number in range(count):
        late_ms = chance.choice([0, 0, 0, 3_600_000, 7_200_000])
        one = event(f"e{number}", f"u{number % 9}", at_ms=HOUR + number * 900 - late_ms)
        yield message(
            EVENTS, one, number // 3, partition=number % 3, log_time_ms=HOUR + number * 1_000
        )


@pytest.mark.parametrize("table", LAKE_TABLES, ids=lambda table: table.name)
def test_no_field_is_named_like_a_column_of_the_lake(table: object) -> None:
    names = [field["name"] for field in table.fields]  # type: ignore[attr-defined]
    assert set(names).isdisjoint({*PLACE, PAYLOAD})


def test_messages_come_back_as_they_were(tmp_path: Path) -> None:
    written = one_of_each()
    write(tmp_path, written)
    assert sorted(read_back(tmp_path)) == sorted(written)


def test_columns_say_what_the_record_says(tmp_path: Path) -> None:
    write(tmp_path, one_of_each())
    (batch,) = Lake(tmp_path).read(EVENTS, columns=["event_id", "signal", "context", "price"])
    full = batch.to_pylist()[0]
    assert full["event_id"] == "full"
    assert full["signal"]["strength"] == 0.75
    assert dict(full["context"]) == {"page": "home", "source": "mail"}
    (shown,) = Lake(tmp_path).read(IMPRESSIONS, columns=["items"])
    assert [one["source"] for one in shown.to_pylist()[0]["items"]] == ["trending", "popular"]


def test_files_lie_by_day_and_hour(tmp_path: Path) -> None:
    written = write(tmp_path, [message(EVENTS, event("a", "u", at_ms=HOUR - 1), 0)])
    assert [path.parent.relative_to(tmp_path).as_posix() for path in written] == [
        "events/day=2026-09-21/hour=13"
    ]


@pytest.mark.parametrize("small_groups", [False, True])
def test_each_partition_comes_in_its_order_from_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, small_groups: bool
) -> None:
    if small_groups:
        monkeypatch.setitem(files._OPTIONS, "row_group_size", 4)
    written = list(scattered(300))
    for start in range(0, 300, 50):
        write(tmp_path, written[start : start + 50])
    assert len({path.parent for path in tmp_path.rglob("*.parquet")}) == 3
    assert read_back(tmp_path) == sorted(written, key=lambda one: (one.log_time_ms, one.partition))


def test_a_partition_can_be_read_alone(tmp_path: Path) -> None:
    written = list(scattered(60))
    write(tmp_path, written)
    found = [m.position.offset for m in Lake(tmp_path).messages([EVENTS], partitions={1})]
    assert found == list(range(20))


def test_messages_of_a_time_are_those_that_the_log_took_in_it(tmp_path: Path) -> None:
    written = list(scattered(60))
    write(tmp_path, written)
    found = Lake(tmp_path).messages([EVENTS], since_ms=HOUR + 10_000, until_ms=HOUR + 20_000)
    assert sorted(m.position.log_time_ms for m in found) == [HOUR + n * 1000 for n in range(10, 20)]


def test_rows_of_a_time_are_those_that_happened_in_it(tmp_path: Path) -> None:
    late = event("late", "u1", at_ms=HOUR - 1)
    within = event("within", "u1", at_ms=HOUR)
    after = event("after", "u1", at_ms=HOUR + 10)
    write(tmp_path, [message(EVENTS, one, n) for n, one in enumerate((late, within, after))])
    found = Lake(tmp_path).read(EVENTS, since_ms=HOUR, until_ms=HOUR + 10, columns=["event_id"])
    assert [batch.to_pydict() for batch in found] == [{"event_id": ["within"]}]


def test_a_message_that_was_read_twice_is_told_once(tmp_path: Path) -> None:
    written = list(scattered(30))
    write(tmp_path, written)
    write(tmp_path, written)
    assert sorted(read_back(tmp_path)) == sorted(written)


def test_what_is_in_progress_is_not_seen(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [message(EVENTS, event("a", "u"), 0)])
    path.with_name(".part-x.parquet").write_bytes(b"half")
    path.with_name(".part-x.parquet.inprogress.1").write_bytes(b"half")
    assert len(read_back(tmp_path)) == 1


def test_a_file_from_before_a_field_gets_its_columns_from_the_messages(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [message(EVENTS, full_event(), 0)])
    pq.write_table(pq.read_table(path).drop(["price", "signal"]), path)
    (batch,) = Lake(tmp_path).read(EVENTS)
    assert batch.schema.names == arrow_schema(EVENTS).names
    assert batch["price"].to_pylist() == [9.99]
    assert decode(batch[PAYLOAD][0].as_py(), UserEvent) == full_event()


def test_a_read_holds_batches_and_not_tables(tmp_path: Path) -> None:
    many = [message(EVENTS, event(f"e{n}", "u"), n) for n in range(20_000)]
    write(tmp_path, many)
    sizes = [batch.num_rows for batch in Lake(tmp_path).read(EVENTS, columns=["user_id"])]
    assert sum(sizes) == 20_000
    assert max(sizes) <= 8_192


def test_reading_where_no_lake_is_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="freshet job submit interaction_lake"):
        next(Lake(tmp_path / "none").messages([EVENTS]))


def test_hours_are_utc_whatever_the_rows(tmp_path: Path) -> None:
    write(
        tmp_path,
        [message(EVENTS, event("a", "u", at_ms=hours_later(10)), 0, log_time_ms=hours_later(10))],
    )
    (hour,) = Lake(tmp_path).hours(EVENTS)
    assert (hour.start_ms, hour.end_ms) == (hours_later(10), hours_later(11))
    assert isinstance(arrow_schema(EVENTS), pa.Schema)
