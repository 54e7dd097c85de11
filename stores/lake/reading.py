"""Reads a lake: columns for training and counting, messages for living the log again."""

import heapq
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.codec import decode
from schemas.lake import PAYLOAD, LakeRow, LakeTable
from stores.event_log import LogMessage
from stores.lake.columns import arrow_schema
from stores.lake.files import arrow_table
from stores.lake.hours import Hour, hours
from stores.lake.locks import reading
from stores.log_producer import Position

BATCH_ROWS = 8_192
OPEN_END_MS = 2**62
_MESSAGE = ["partition", "offset", "log_time", PAYLOAD]


@dataclass(frozen=True)
class Lake:
    """A lake by its directory. What is in progress or replaced is never seen."""

    directory: Path

    def reading(self) -> AbstractContextManager[None]:
        """Inside, no file that was there at the beginning is deleted."""
        return reading(self.directory)

    def hours(
        self, table: LakeTable, *, since_ms: int | None = None, until_ms: int | None = None
    ) -> Iterator[Hour]:
        """The hours of a table that overlap a time, oldest first."""
        for hour in hours(self.directory, table):
            if hour.end_ms > _since(since_ms) and hour.start_ms < _until(until_ms):
                yield hour

    def read(
        self,
        table: LakeTable,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield a table batch by batch: rows whose `timestamp_ms` is in [since, until).

        Hours come in order, rows in an hour file by file. A row whose own time could not be right
        is filed by the time of the log; reading without a time has it, too.
        """
        wanted = list(columns or arrow_schema(table).names)
        bounded = since_ms is not None or until_ms is not None
        needed = wanted if not bounded else [*wanted, *{"timestamp_ms"}.difference(wanted)]
        with self.reading():
            for hour in self.hours(table, since_ms=since_ms, until_ms=until_ms):
                for batch in chain.from_iterable(batches(table, p, needed) for p in hour.live):
                    kept = _within(batch, since_ms, until_ms) if bounded else batch
                    if kept.num_rows:
                        yield kept.select(wanted)

    def messages(
        self,
        tables: Sequence[LakeTable],
        *,
        partitions: Collection[int] | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Iterator[LogMessage]:
        """Yield the messages as they stood in the log, with log times in [since, until).

        Those of a partition come in its order, and partitions side by side by their log times.
        Memory holds what overlaps: of each partition, the row groups around its next offset.
        """
        with self.reading():
            spans = [
                span
                for table in tables
                for span in self._spans(table, _since(since_ms), _until(until_ms))
                if partitions is None or span.partition in partitions
            ]
            by_place: dict[tuple[str, int], list[_Span]] = {}
            for span in spans:
                by_place.setdefault((span.table.name, span.partition), []).append(span)
            streams = [_in_order(found) for _, found in sorted(by_place.items())]
            for message in heapq.merge(*streams, key=_log_time):
                if _since(since_ms) <= message.position.log_time_ms < _until(until_ms):
                    yield message

    def _spans(self, table: LakeTable, since_ms: int, until_ms: int) -> Iterator["_Span"]:
        for hour in self.hours(table):
            for path in hour.live:
                yield from _spans_of(table, path, since_ms, until_ms)


def whole_table(table: LakeTable, path: Path, partitions: range) -> pa.Table:
    """The rows of some partitions in a file, in the columns of today."""
    today = arrow_schema(table)
    wanted = pa.array(partitions, pa.int32())
    read = batches(table, path, today.names, partitions=partitions)
    kept = [batch.filter(pc.is_in(batch["partition"], wanted)) for batch in read]
    return pa.Table.from_batches(kept, schema=today)


def batches(
    table: LakeTable, path: Path, columns: Sequence[str], *, partitions: range | None = None
) -> Iterator[pa.RecordBatch]:
    """Columns of a file; where it is older than one of them, they are made from the messages.

    `partitions` leaves out row groups that can't have rows of them.
    """
    schema = pa.schema([arrow_schema(table).field(name) for name in columns])
    with pq.ParquetFile(path) as file:
        groups = _groups(file.metadata, partitions)
        if _has(file.schema_arrow, schema):
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=schema.names):
                yield batch.select(schema.names).cast(schema)
        else:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=_MESSAGE):
                yield from _again(table, batch).select(schema.names).to_batches()


def _has(there: pa.Schema, wanted: pa.Schema) -> bool:
    names = set(there.names)
    return all(one.name in names and there.field(one.name).type == one.type for one in wanted)


def _groups(metadata: Any, partitions: range | None) -> list[int]:
    """The row groups that may have rows of some partitions."""
    every = list(range(metadata.num_row_groups))
    if partitions is None:
        return every
    there = {n: _partitions(_statistics(metadata, n, "partition")) for n in every}
    return [
        n
        for n, found in there.items()
        if found.start < partitions.stop and partitions.start < found.stop
    ]


def _statistics(metadata: Any, group: int, name: str) -> Any:
    row_group = metadata.row_group(group)
    columns = (row_group.column(number) for number in range(row_group.num_columns))
    return next(column.statistics for column in columns if column.path_in_schema == name)


def _partitions(statistics: Any) -> range:
    return range(statistics.min, statistics.max + 1)


@dataclass(frozen=True)
class _Span:
    """The rows of one partition in one row group of a file."""

    table: LakeTable
    path: Path
    group: int
    partition: int
    first_offset: int

    def messages(self) -> Iterator[LogMessage]:
        """Yield its messages in the order of the partition."""
        names = [*_MESSAGE, *self.table.topic.key_fields]
        with pq.ParquetFile(self.path) as file:
            read = file.read_row_group(self.group, columns=names)
        found = read.filter(pc.equal(read["partition"], self.partition))
        times = found["log_time"].cast(pa.int64())
        for row, log_time_ms in zip(found.drop(["log_time"]).to_pylist(), times, strict=True):
            position = Position(
                topic=self.table.topic.name,
                partition=self.partition,
                offset=row["offset"],
                log_time_ms=log_time_ms.as_py(),
            )
            yield LogMessage(position=position, key=self.table.key_of(row), value=row[PAYLOAD])


def _spans_of(table: LakeTable, path: Path, since_ms: int, until_ms: int) -> Iterator[_Span]:
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        log_time = _statistics(metadata, group, "log_time")
        if metadata.row_group(group).num_rows == 0 or not _overlaps(log_time, since_ms, until_ms):
            continue
        first_offset = _statistics(metadata, group, "offset").min
        for partition in _partitions(_statistics(metadata, group, "partition")):
            yield _Span(table, path, group, partition, first_offset)


def _overlaps(log_time: Any, since_ms: int, until_ms: int) -> bool:
    return _ms(log_time.max) >= since_ms and _ms(log_time.min) < until_ms


def _in_order(spans: list[_Span]) -> Iterator[LogMessage]:
    """Merge what spans of one partition hold; each is opened when its first offset may be next."""
    waiting = sorted(spans, key=lambda span: span.first_offset, reverse=True)
    heads: list[tuple[int, int, LogMessage, Iterator[LogMessage]]] = []
    last = -1
    while waiting or heads:
        while waiting and (not heads or waiting[-1].first_offset <= heads[0][0]):
            _push(heads, waiting.pop().messages(), len(waiting))
        if not heads:
            continue
        offset, order, message, rest = heapq.heappop(heads)
        _push(heads, rest, order)
        # A log that was read from its beginning once more is in the lake twice.
        if offset > last:
            last = offset
            yield message


def _push(
    heads: list[tuple[int, int, LogMessage, Iterator[LogMessage]]],
    rest: Iterator[LogMessage],
    order: int,
) -> None:
    message = next(rest, None)
    if message is not None:
        heapq.heappush(heads, (message.position.offset, order, message, rest))


def _again(table: LakeTable, batch: pa.RecordBatch) -> pa.Table:
    times = batch["log_time"].cast(pa.int64()).to_pylist()
    rows = [
        _row_again(table, row, log_time_ms)
        for row, log_time_ms in zip(batch.to_pylist(), times, strict=True)
    ]
    return arrow_table(table, rows)


def _row_again(table: LakeTable, row: dict[str, Any], log_time_ms: int) -> LakeRow:
    return LakeRow(
        table=table,
        filed_ms=log_time_ms,
        record=decode(row[PAYLOAD], table.topic.record).to_record(),
        payload=row[PAYLOAD],
        partition=row["partition"],
        offset=row["offset"],
        log_time_ms=log_time_ms,
    )


def _within(batch: pa.RecordBatch, since_ms: int | None, until_ms: int | None) -> pa.RecordBatch:
    at_ms = batch["timestamp_ms"]
    return batch.filter(
        pc.and_(
            pc.greater_equal(at_ms, pa.scalar(_since(since_ms), pa.int64())),
            pc.less(at_ms, pa.scalar(_until(until_ms), pa.int64())),
        )
    )


def _since(given_ms: int | None) -> int:
    return -OPEN_END_MS if given_ms is None else given_ms


def _until(given_ms: int | None) -> int:
    return OPEN_END_MS if given_ms is None else given_ms


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1_000)


def _log_time(message: LogMessage) -> int:
    return message.position.log_time_ms
