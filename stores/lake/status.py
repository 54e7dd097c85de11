"""What there is of a lake."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from schemas.lake import LAKE_TABLES, LakeTable
from stores.lake.compaction import erase_events
from stores.lake.erasure import Erasures
from stores.lake.hours import Hour, hours
from stores.lake.locks import reading


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """One table: what is read of it, and what only waits to be deleted."""

    name: str
    hours: int
    files: int
    rows: int
    bytes: int
    replaced: int
    first: str
    last: str


@dataclass(frozen=True, kw_only=True)
class LakeStatus:
    """All tables, how many erasures are kept to, and how many events ask for one not done yet."""

    directory: str
    tables: tuple[TableStatus, ...]
    erasures: int
    erasures_waiting: int


def status(lake: Path) -> LakeStatus:
    """Look at a lake; costs its files' footers, and the types of the events not compacted yet."""
    with reading(lake):
        known = Erasures.load(lake)
        return LakeStatus(
            directory=str(lake),
            tables=tuple(_table_status(lake, table) for table in LAKE_TABLES),
            erasures=len(known.found),
            erasures_waiting=len(set(erase_events(lake))),
        )


def _table_status(lake: Path, table: LakeTable) -> TableStatus:
    found = list(hours(lake, table))
    live = [path for hour in found for path in hour.live]
    return TableStatus(
        name=table.name,
        hours=len(found),
        files=len(live),
        rows=sum(pq.read_metadata(path).num_rows for path in live),
        bytes=sum(path.stat().st_size for path in live),
        replaced=sum(len(hour.replaced) for hour in found),
        first=_name(found[0]) if found else "",
        last=_name(found[-1]) if found else "",
    )


def _name(hour: Hour) -> str:
    day, name = hour.path.parent.name, hour.path.name
    return f"{day.removeprefix('day=')} {name.removeprefix('hour=')}h"
