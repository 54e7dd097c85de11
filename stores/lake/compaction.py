"""Makes one sorted file of the many of an hour, and lets erased users go.

An hour changes in one step, the renaming of its new file: before it the old files are read, after
it the new one, whose footer names those that it stands for. Whatever is interrupted is either not
there yet or only waits for the next compaction to tidy up.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.lake import EVENTS, LAKE_TABLES, LakeTable
from stores.lake.columns import arrow_schema
from stores.lake.erasure import ERASE, Erasures, known_since_columns
from stores.lake.files import GROUP_ROWS, SUFFIX, WHOLE, sync_directory, write_parquet
from stores.lake.hours import Hour, erasures_known, footer_notes, hours
from stores.lake.locks import compacting, deleting, reading
from stores.lake.reading import batches, whole_table

# An hour with more rows is put together a few partitions at a time.
ROWS_AT_ONCE = 500_000
LATE_MS = 600_000

Step = Callable[[str], None]


@dataclass
class Compacted:
    """What a compaction has done."""

    hours: int = 0
    files_before: int = 0
    rows: int = 0
    rows_erased: int = 0
    rows_doubled: int = 0
    erasures: int = 0
    files_deleted: int = 0
    files_waiting: int = 0


@dataclass
class Compaction:
    """One compaction of a lake, as of `now_ms`.

    Hours that ended a while ago are put together, and of every hour, whatever its age, the rows of
    erased users go. `day` ("2026-11-21") limits the putting together. `step` is told what has
    just been done, for tests that stop there.
    """

    lake: Path
    now_ms: int
    day: str | None = None
    patience_s: float = 10.0
    step: Step = lambda _: None

    def run(self) -> Compacted:
        """Do it, and say what was done."""
        done = Compacted()
        with compacting(self.lake):
            self._tidy(done)
            with reading(self.lake):
                erasures = self._erasures(done)
                for table in LAKE_TABLES:
                    for hour in hours(self.lake, table):
                        self._hour(table, hour, erasures, done)
            self._tidy(done)
        return done

    def _erasures(self, done: Compacted) -> Erasures:
        """Those known, and those that stand in events; on disk before any row goes."""
        before = Erasures.load(self.lake)
        after = before.with_events(erase_events(self.lake))
        done.erasures = len(after.found)
        if after != before:
            after.save(self.lake)
            self.step("erasures saved")
        return after

    def _hour(self, table: LakeTable, hour: Hour, erasures: Erasures, done: Compacted) -> None:
        live = hour.live
        closed = hour.end_ms + LATE_MS <= self.now_ms and self._is_chosen(hour)
        untidy = closed and not (len(live) == 1 and live[0].name.startswith(WHOLE))
        if live and (untidy or any(_has_erased(table, path, erasures) for path in live)):
            self._put_together(table, hour, erasures, done)

    def _is_chosen(self, hour: Hour) -> bool:
        return self.day is None or hour.path.parent.name == f"day={self.day}"

    def _put_together(
        self, table: LakeTable, hour: Hour, erasures: Erasures, done: Compacted
    ) -> None:
        name = f"{WHOLE}{uuid.uuid4()}{SUFFIX}"
        draft = hour.path / f".{name}"
        # Also those replaced before and not deleted yet: they must not come back.
        notes = footer_notes(replaces=hour.names, erasures=len(erasures.found))
        portions = _Portions(table, hour.live, erasures, done)
        done.rows += write_parquet(draft, arrow_schema(table), portions.groups(), notes=notes)
        self.step("draft written")
        draft.rename(hour.path / name)
        sync_directory(hour.path)
        self.step("file in place")
        done.hours += 1
        done.files_before += len(hour.live)

    def _tidy(self, done: Compacted) -> None:
        """Delete drafts of a compaction that was interrupted, and files that were replaced."""
        found = [hour for table in LAKE_TABLES for hour in hours(self.lake, table)]
        for hour in found:
            for draft in hour.path.glob(f".{WHOLE}*{SUFFIX}"):
                draft.unlink()
        gone = [hour.path / name for hour in found for name in sorted(hour.replaced)]
        if gone:
            self._delete(gone, done)

    def _delete(self, gone: list[Path], done: Compacted) -> None:
        with deleting(self.lake, patience_s=self.patience_s) as alone:
            done.files_waiting = 0 if alone else len(gone)
            for path in gone if alone else ():
                path.unlink()
                self.step("file deleted")
                done.files_deleted += 1


def erase_events(lake: Path) -> Iterator[tuple[str, int]]:
    """Users and log times of the erase events that stand in files as they came."""
    columns = ["user_id", "event_type", "log_time"]
    fresh = (p for hour in hours(lake, EVENTS) for p in hour.live if not p.name.startswith(WHOLE))
    for path in fresh:
        for batch in batches(EVENTS, path, columns):
            found = batch.filter(pc.equal(batch["event_type"], ERASE))
            times = found["log_time"].cast(pa.int64()).to_pylist()
            yield from zip(found["user_id"].to_pylist(), times, strict=True)


def _has_erased(table: LakeTable, path: Path, erasures: Erasures) -> bool:
    """Whether a file has rows that must go, by the erasures that it doesn't know of yet."""
    since = erasures_known(path)
    if since == len(erasures.found):
        return False
    columns = known_since_columns(table)
    schema = pa.schema([arrow_schema(table).field(name) for name in columns])
    rows = pa.Table.from_batches(list(batches(table, path, columns)), schema=schema)
    return bool(erasures.kept(table, rows, since=since).num_rows < rows.num_rows)


@dataclass(frozen=True)
class _Portions:
    """The rows of some files in the order of the log, as many at once as memory should hold."""

    table: LakeTable
    files: list[Path]
    erasures: Erasures
    done: Compacted

    def groups(self) -> Iterator[pa.Table]:
        """Yield what becomes a row group: all of a small file, else not over a partition."""
        partitions = self._partitions()
        small = sum(partitions.values()) <= GROUP_ROWS
        for some in _portions(partitions):
            rows = self._rows(some)
            yield from [rows] if small else _by_partition(rows)

    def _rows(self, partitions: range) -> pa.Table:
        there = [whole_table(self.table, path, partitions) for path in self.files]
        every = pa.concat_tables(there)
        once = _once(every.sort_by([("partition", "ascending"), ("offset", "ascending")]))
        kept = self.erasures.kept(self.table, once)
        self.done.rows_doubled += every.num_rows - once.num_rows
        self.done.rows_erased += once.num_rows - kept.num_rows
        return kept

    def _partitions(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for path in self.files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=["partition"]):
                    counted = batch["partition"].value_counts().to_pylist()
                    found.update({one["values"]: one["counts"] for one in counted})
        return found


def _portions(partitions: Counter[int]) -> Iterator[range]:
    """Partitions in a row that have so many rows as should be held at once, one at the least."""
    first, rows = None, 0
    for number, count in sorted(partitions.items()):
        if first is not None and rows + count > ROWS_AT_ONCE:
            yield range(first, number)
            first, rows = None, 0
        first, rows = (number if first is None else first), rows + count
    if first is not None:
        yield range(first, max(partitions) + 1)


def _once(rows: pa.Table) -> pa.Table:
    """Sorted rows without those whose place in the log is that of the row before."""
    if rows.num_rows < 2:
        return rows
    partition, offset = rows["partition"].to_numpy(), rows["offset"].to_numpy()
    same = (np.diff(partition) == 0) & (np.diff(offset) == 0)
    return rows.filter(pa.array(np.concatenate([[True], ~same]))) if same.any() else rows


def _by_partition(rows: pa.Table) -> Iterator[pa.Table]:
    ends = np.flatnonzero(np.diff(rows["partition"].to_numpy())) + 1
    for start, end in pairwise([0, *ends.tolist(), rows.num_rows]):
        yield rows.slice(start, end - start)
