"""Events from files: how cells are read, in which order events come, and which rows are named."""

from pathlib import Path
from typing import Any

import fastavro
import pytest

from domain.events import EventLimits, refusal
from freshet.event_files import BadRow, EventFileError, avro_events, csv_events
from schemas.registry import current
from schemas.types import UserEvent

AT_MS = 1_290_000_000_000
AT = "2010-11-17T13:20:00"


def read(file: Path, until_ms: int | None = None) -> tuple[list[UserEvent], tuple[BadRow, ...]]:
    events_of = csv_events if file.suffix == ".csv" else avro_events
    with events_of(file, until_ms=until_ms, report=lambda _: None) as found:
        messages = list(found.messages)
    events = [message.record(UserEvent) for message in messages]
    assert found.total == len(events)
    for event, message in zip(events, messages, strict=True):
        at = message.position
        assert (message.key, at.log_time_ms) == (event.user_id.encode(), event.timestamp_ms)
        one = {"key": message.key, "log_time_ms": at.log_time_ms, "limits": EventLimits()}
        assert refusal(event, **one) is None  # type: ignore[arg-type]
    return events, found.bad


def written(directory: Path, text: str | bytes) -> Path:
    file = directory / "log.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_a_row_is_an_event(tmp_path: Path) -> None:
    heading = "User,item,time,type,text,price,quantity,session,duration,consent,context"
    row = f'u1,i1,{AT},purchase,"good, ""really""\nyes",2.55,6,s1,1.5,Yes,"{{""page"": ""home""}}"'
    (event,), bad = read(written(tmp_path, f"\ufeff{heading}\r\n{row}\r\n"))
    assert bad == ()
    assert event == UserEvent(
        event_id="log.csv:2",
        user_id="u1",
        event_type="purchase",
        timestamp_ms=AT_MS,
        item_id="i1",
        session_id="s1",
        duration_ms=1_500,
        quantity=6,
        price=2.55,
        text='good, "really"\nyes',
        consent=True,
        context={"page": "home"},
    )


@pytest.mark.parametrize(
    "time", [AT, f"{AT}Z", "2010-11-17 14:20:00+01:00", "1290000000", "1290000000000"]
)
def test_a_time_is_a_date_or_counts_since_1970(tmp_path: Path, time: str) -> None:
    (event,), _ = read(written(tmp_path, f"time,type,user,item\n{time},search,u1,\n"))
    assert (event.timestamp_ms, event.item_id) == (AT_MS, None)


def test_events_come_by_time_and_then_as_they_stand(tmp_path: Path) -> None:
    rows = "".join(f"{n},u,i,{AT_MS + n % 3},view\n" for n in range(1, 8))
    file = written(tmp_path, f"id,user,item,time,type\n{rows}")
    assert [event.event_id for event in read(file)[0]] == ["3", "6", "1", "4", "7", "2", "5"]
    assert [event.event_id for event in read(file, AT_MS + 1)[0]] == ["3", "6"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"u1,i1,{AT}", "has 3 cells; the first line names 5 columns"),
        (f",i1,{AT},view,", "user is empty; each event needs one"),
        ("u1,i1,,view,", "time is empty; each event needs one"),
        ("u1,i1,yesterday,view,", "time is 'yesterday'; wanted: 2026-11-21T10:00:00 (UTC unless"),
        (f"u1,i1,{'9' * 30},view,", "time is '999"),
        (f"u1,i1,{AT},looked,", "type is 'looked'; it is one of view, click, like,"),
        (f"u1,i1,{AT},unknown,", "type is 'unknown'; it is one of"),
        (f"u1,i1,{AT},view,cheap", "price is 'cheap'; a number is wanted"),
        (f"u1,i1,{AT},view,nan", "price is nan; a finite number, 0 or more"),
        (f"{'u' * 300},i1,{AT},view,", "user_id has more than 256 bytes"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: str, reason: str) -> None:
    good = f"u1,i1,{AT},view,1\n"
    quoted = f'u1,"i\n1",{AT},view,1\n'
    text = f"user,item,time,type,price\n{quoted}\n{row}\n{good}"
    events, ((place, said),) = read(written(tmp_path, text))
    assert (place, [event.event_id for event in events]) == (5, ["log.csv:2", "log.csv:6"])
    assert said.startswith(reason)


@pytest.mark.parametrize(
    ("cell", "column", "reason"),
    [
        ("1e300", "duration", "seconds are wanted"),
        ("inf", "duration", "seconds are wanted"),
        ("9999999999", "quantity", "a whole number is wanted"),
        ("perhaps", "consent", "true or false is wanted"),
        ('"[1]"', "context", "a JSON object of texts is wanted"),
        ("{", "context", "a JSON object of texts is wanted"),
    ],
)
def test_a_cell_that_does_not_read_is_named(
    tmp_path: Path, cell: str, column: str, reason: str
) -> None:
    text = f"user,item,time,type,{column}\nu1,i1,{AT},view,{cell}\n"
    events, ((place, said),) = read(written(tmp_path, text))
    assert (events, place) == ([], 2)
    assert said.startswith(f"{column} is ")
    assert said.endswith(reason)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "has no column user, item, time, type; its first line names user, item, time"),
        (b"user,item,type\n", "has no column time;"),
        (b"user,item,time,type,colour\n", "has a column 'colour' that is not known;"),
        (b"user,item,time,type,item\n", "has column item twice;"),
        (b"user,item,time,type\nu,\xff,1,view\n", "line 2 is not UTF-8: invalid start byte"),
        (b'user,item,time,type\nu,"i,1,view\n', "line 2: unexpected end of data"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(EventFileError) as failed:
        read(written(tmp_path, text))
    assert said in str(failed.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match=r"none.csv can't be read: No such file"):
        read(tmp_path / "none.csv")


def test_it_is_told_how_far_reading_is(tmp_path: Path) -> None:
    file = written(tmp_path, "user,item,time,type\n" + f"u1,i1,{AT},view\n" * 2_500)
    told: list[int] = []
    with csv_events(file, until_ms=None, report=told.append):
        pass
    assert told == [20 + 1_000 * 31, 20 + 2_000 * 31]


def container(file: Path, schema: Any, records: list[dict[str, Any]]) -> Path:
    with file.open("wb") as stream:
        fastavro.writer(stream, schema, records)
    return file


def event(event_id: str, at_ms: int, **more: Any) -> UserEvent:
    fields = {"user_id": "u1", "event_type": "view", "timestamp_ms": at_ms, **more}
    return UserEvent(event_id=event_id, **fields)


def test_a_container_of_events_is_read_by_time(tmp_path: Path) -> None:
    events = [event("late", AT_MS + 5, item_id="i1"), event("soon", AT_MS), event("", AT_MS + 1)]
    records = [one.to_record() for one in events]
    file = container(tmp_path / "log.avro", current("user_event").parsed, records)
    found, ((place, reason),) = read(file)
    assert found == [events[1], events[0]]
    assert (place, reason) == (3, "event_id is empty; each event needs one")


def test_a_container_of_an_older_schema_is_resolved(tmp_path: Path) -> None:
    names = ("event_id", "user_id", "timestamp_ms")
    fields: list[Any] = [
        {"name": name, "type": "long" if name[0] == "t" else "string"} for name in names
    ]
    kind = {"type": "enum", "name": "EventType", "symbols": ["view", "teleport"]}
    fields.append({"name": "event_type", "type": kind})
    schema = {"type": "record", "name": "UserEvent", "namespace": "freshet", "fields": fields}
    one = {"event_id": "e1", "user_id": "u1", "timestamp_ms": AT_MS, "event_type": "view"}
    unknown = {**one, "event_type": "teleport"}
    file = container(tmp_path / "log.avro", fastavro.parse_schema(schema), [one, unknown])
    found, ((place, reason),) = read(file)
    assert (found, place) == ([event("e1", AT_MS)], 2)
    assert reason == "the event type is not one that this version knows"


@pytest.mark.parametrize("cut", [0, 3, 400])
def test_a_file_that_is_no_container_is_refused(tmp_path: Path, cut: int) -> None:
    records = [event(f"e{n}", AT_MS).to_record() for n in range(20)]
    file = container(tmp_path / "log.avro", current("user_event").parsed, records)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(EventFileError, match="does not read as an Avro container file"):
        read(file)
