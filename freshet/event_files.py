"""Events from files, in the order of their times: an old log that no Kafka has any more.

Each event is taken as if the log had taken it when it happened. A row that can't be used is left
out and named, by the line of a CSV file, or by its number in an Avro file.
"""

import csv
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, get_args

import fastavro

from domain.events import EventLimits, refusal
from schemas.codec import encode
from schemas.registry import current
from schemas.topics import USER_EVENTS
from schemas.types import RECORD_NAMES, EventType, UserEvent
from stores.event_log import LogMessage
from stores.log_producer import Position

REPORT_EVERY = 1_000
# A whole number below this is a time in seconds: as milliseconds it would lie before March 1973.
FIRST_MS = 100_000_000_000
NO_LIMITS = EventLimits()
YES, NO = ("true", "yes", "1"), ("false", "no", "0")

Report = Callable[[int], None]


class EventFileError(Exception):
    """A file can't be read as events at all."""


class BadRow(NamedTuple):
    """A row that was left out: its line in a CSV file, its number in an Avro file, and why."""

    place: int
    reason: str


class Row(NamedTuple):
    """A row as it was read: an event, or why there is none; `reached` counts the file's bytes."""

    place: int
    found: UserEvent | str
    reached: int


@dataclass(frozen=True, kw_only=True)
class FiledEvents:
    """What a file holds: so many good events, by their times, and the rows that were left out."""

    total: int
    bad: tuple[BadRow, ...]
    messages: Iterator[LogMessage]


@contextmanager
def csv_events(file: Path, *, until_ms: int | None, report: Report) -> Iterator[FiledEvents]:
    """The events of a CSV file; `report` is told how many bytes have been read."""
    with _opened(file) as stream, _sorted(_csv_rows(file, stream), until_ms, report) as found:
        yield found


@contextmanager
def avro_events(file: Path, *, until_ms: int | None, report: Report) -> Iterator[FiledEvents]:
    """The events of an Avro container file, of any schema that resolves to today's."""
    with _opened(file) as stream, _sorted(_avro_rows(file, stream), until_ms, report) as found:
        yield found


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        with file.open("rb") as stream:
            yield stream
    except OSError as error:
        raise EventFileError(f"{file} can't be read: {error.strerror or error}") from error


@contextmanager
def _sorted(rows: Iterable[Row], until_ms: int | None, report: Report) -> Iterator[FiledEvents]:
    """Events by time; those of one time as they stand in the file.

    A database that lives only now sorts them, on the disk where memory is too small.
    """
    bad: list[BadRow] = []
    with closing(sqlite3.connect("", isolation_level=None)) as sorting:
        sorting.execute("CREATE TABLE event (at_ms INTEGER, place INTEGER, key BLOB, value BLOB)")
        sorting.execute("BEGIN")
        sorting.executemany(
            "INSERT INTO event VALUES (?, ?, ?, ?)", _good(rows, until_ms, bad, report)
        )
        (total,) = sorting.execute("SELECT count(*) FROM event").fetchone()
        ordered = sorting.execute("SELECT * FROM event ORDER BY at_ms, place")
        yield FiledEvents(total=total, bad=tuple(bad), messages=map(_message, ordered))


def _good(
    rows: Iterable[Row], until_ms: int | None, bad: list[BadRow], report: Report
) -> Iterator[tuple[int, int, bytes, bytes]]:
    for number, (place, found, reached) in enumerate(rows, 1):
        if number % REPORT_EVERY == 0:
            report(reached)
        event = found if isinstance(found, str) else _checked(found)
        if isinstance(event, str):
            bad.append(BadRow(place, event))
        elif until_ms is None or event.timestamp_ms < until_ms:
            yield event.timestamp_ms, place, event.user_id.encode(), encode(event)


def _checked(event: UserEvent) -> UserEvent | str:
    """The event, or why the job would refuse it."""
    refused = refusal(
        event, key=event.user_id.encode(), log_time_ms=event.timestamp_ms, limits=NO_LIMITS
    )
    return event if refused is None else refused.detail


def _message(row: tuple[int, int, bytes, bytes]) -> LogMessage:
    at_ms, place, key, value = row
    position = Position(topic=USER_EVENTS.name, partition=0, offset=place, log_time_ms=at_ms)
    return LogMessage(position=position, key=key, value=value)


def _avro_rows(file: Path, stream: IO[bytes]) -> Iterator[Row]:
    name = RECORD_NAMES[UserEvent]
    try:
        for number, record in enumerate(fastavro.reader(stream, current(name).parsed), 1):
            yield Row(number, UserEvent.from_record(dict(record)), stream.tell())  # type: ignore[arg-type]
    except Exception as error:
        # What a broken file raises is of many kinds: fastavro lets through whatever it stumbles on.
        raise EventFileError(
            f"{file} does not read as an Avro container file of {name}: "
            f"{type(error).__name__} {error}"
        ) from error


def _csv_rows(file: Path, stream: IO[bytes]) -> Iterator[Row]:
    lines = _Lines(file, stream)
    reader = csv.reader(lines, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _require_columns(file, names)
        while True:
            place = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if cells:
                yield Row(place, _event(file, place, names, cells), lines.reached)
    except csv.Error as error:
        raise EventFileError(f"{file}, line {reader.line_num}: {error}") from error


class _Lines:
    """The lines of a file as text; knows how many bytes it has given."""

    def __init__(self, file: Path, stream: IO[bytes]) -> None:
        self._file = file
        self._stream = stream
        self.reached = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self._stream, 1):
            self.reached += len(line)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise EventFileError(
                    f"{self._file}, line {number} is not UTF-8: {error.reason}"
                ) from error


def _require_columns(file: Path, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    doubled = sorted({name for name in names if names.count(name) > 1})
    trouble = (
        (f"has no column {', '.join(missing)}" if missing else "")
        or (f"has a column {unknown[0]!r} that is not known" if unknown else "")
        or (f"has column {doubled[0]} twice" if doubled else "")
    )
    if trouble:
        raise EventFileError(
            f"{file} {trouble}; its first line names {', '.join(REQUIRED)}, "
            f"and any of {', '.join(name for name in COLUMNS if name not in REQUIRED)}"
        )


def _event(file: Path, place: int, names: list[str], cells: list[str]) -> UserEvent | str:
    if len(cells) != len(names):
        return f"has {len(cells)} cells; the first line names {len(names)} columns"
    given = dict(zip(names, (cell.strip() for cell in cells), strict=True))
    empty = next((name for name in ("user", "time", "type") if not given[name]), None)
    if empty:
        return f"{empty} is empty; each event needs one"
    try:
        fields = dict(_fields(given))
    except ValueError as error:
        return str(error)
    return UserEvent(**{"event_id": f"{file.name}:{place}", **fields})


def _fields(given: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, text in given.items():
        if text:
            column = COLUMNS[name]
            try:
                yield column.field, column.read(text)
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{name} is {text[:80]!r}; {column.reads}") from error


class Column(NamedTuple):
    """A column of a CSV file: the field of an event, how a cell is read, and what it may be."""

    field: str
    read: Callable[[str], Any]
    reads: str


def _time_ms(text: str) -> int:
    if text.isdigit():
        number = _bounded(text, bits=46)
        return number if number >= FIRST_MS else number * 1_000
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)


def _event_type(text: str) -> str:
    if text not in EVENT_TYPES:
        raise ValueError(text)
    return text


def _duration_ms(text: str) -> int:
    return _bounded(f"{float(text) * 1_000:.0f}", bits=62)


def _bounded(text: str, *, bits: int) -> int:
    number = int(text)
    if not -(1 << bits) <= number < 1 << bits:
        raise ValueError(text)
    return number


def _answer(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise ValueError(text)
    return text.lower() in YES


def _others(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ValueError(text)
    return found


def _text(field: str) -> Column:
    return Column(field, str, "text")


def _number(field: str) -> Column:
    return Column(field, float, "a number is wanted")


def _count(field: str) -> Column:
    return Column(field, partial(_bounded, bits=31), "a whole number is wanted")


EVENT_TYPES = tuple(name for name in get_args(EventType) if name != "unknown")
REQUIRED = ("user", "item", "time", "type")
COLUMNS: Mapping[str, Column] = {
    "user": _text("user_id"),
    "item": _text("item_id"),
    "time": Column(
        "timestamp_ms", _time_ms, "wanted: 2026-11-21T10:00:00 (UTC unless it says more), or epoch"
    ),
    "type": Column("event_type", _event_type, f"it is one of {', '.join(EVENT_TYPES)}"),
    "id": _text("event_id"),
    "text": _text("text"),
    "price": _number("price"),
    "quantity": _count("quantity"),
    "session": _text("session_id"),
    "duration": Column("duration_ms", _duration_ms, "seconds are wanted"),
    "completion": _number("completion_rate"),
    "position": _count("position"),
    "request": _text("request_id"),
    "page": _text("page_type"),
    "surface": _text("surface"),
    "device": _text("device_type"),
    "platform": _text("platform"),
    "country": _text("country"),
    "region": _text("region"),
    "city": _text("city"),
    "consent": Column("consent", _answer, "true or false is wanted"),
    "context": Column("context", _others, "a JSON object of texts is wanted"),
}
