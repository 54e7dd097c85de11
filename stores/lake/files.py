"""Rows as Parquet files: in memory for the job, on disk for whoever writes a lake without it."""

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.lake import PAYLOAD, LakeRow, LakeTable
from stores.lake.columns import arrow_schema

PART, WHOLE, SUFFIX = "part-", "whole-", ".parquet"
# What a reader holds of a file at a time; larger files begin a group with each partition.
GROUP_ROWS = 32_768
_OPTIONS: dict[str, Any] = {"compression": "zstd", "version": "2.6"}


class LakeFile(NamedTuple):
    """A whole Parquet file and the directory it belongs in, under that of the lake."""

    directory: str
    content: bytes


def files_of(rows: Iterable[LakeRow]) -> Iterator[LakeFile]:
    """One file for each table and hour that the rows touch."""
    filed = sorted(rows, key=_filing_order)
    for directory, group in groupby(filed, key=lambda row: row.directory):
        lines = list(group)
        buffer = BytesIO()
        pq.write_table(arrow_table(lines[0].table, lines), buffer, **_OPTIONS)
        yield LakeFile(directory, buffer.getvalue())


def write_files(directory: Path, rows: Iterable[LakeRow]) -> list[Path]:
    """Write rows into a lake without the job, and say what was written."""
    return [_write(directory / one.directory, one.content) for one in files_of(rows)]


def arrow_table(table: LakeTable, rows: Sequence[LakeRow]) -> pa.Table:
    """Rows of one table as Arrow has them."""
    schema = arrow_schema(table)
    columns: dict[str, list[Any]] = {
        "topic": [table.topic.name] * len(rows),
        "partition": [row.partition for row in rows],
        "offset": [row.offset for row in rows],
        "log_time": [row.log_time_ms for row in rows],
        PAYLOAD: [row.payload for row in rows],
    }
    for field in table.fields:
        columns[field["name"]] = [row.record[field["name"]] for row in rows]
    return pa.Table.from_arrays(
        [_array(columns[field.name], field.type) for field in schema], schema=schema
    )


def write_parquet(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table], *, notes: Mapping[bytes, bytes]
) -> int:
    """Write tables as one file with notes in its footer, and have it on disk; says its rows."""
    rows = 0
    with path.open("wb") as file:
        with pq.ParquetWriter(file, schema.with_metadata(dict(notes)), **_OPTIONS) as writer:
            # A group without rows has no bounds for readers to go by.
            for table in (one for one in tables if one.num_rows):
                writer.write_table(table, row_group_size=GROUP_ROWS)
                rows += int(table.num_rows)
        file.flush()
        os.fsync(file.fileno())
    return rows


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(directory: Path, content: bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    name = f"{PART}{uuid.uuid4()}{SUFFIX}"
    draft = directory / f".{name}"
    draft.write_bytes(content)
    return draft.rename(directory / name)


def _filing_order(row: LakeRow) -> tuple[str, int, int]:
    return row.directory, row.partition, row.offset


def _array(cells: list[Any], kind: pa.DataType) -> pa.Array:
    """Arrow wants maps as pairs."""
    if pa.types.is_map(kind):
        return pa.array([list(cell.items()) for cell in cells], kind)
    return pa.array(cells, kind)
