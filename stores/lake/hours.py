"""The files of an hour: which are there, and which of them stand for others."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from schemas.lake import LakeTable, hour_start_ms
from schemas.topics import HOUR_MS
from stores.lake.files import SUFFIX, WHOLE

REPLACES, ERASURES = b"freshet.replaces", b"freshet.erasures"


def footer_notes(*, replaces: frozenset[str], erasures: int) -> Mapping[bytes, bytes]:
    """What a compacted file says of itself: whom it replaces, and how many erasures it knows of."""
    return {
        REPLACES: json.dumps(sorted(replaces)).encode(),
        ERASURES: str(erasures).encode(),
    }


@dataclass(frozen=True)
class Hour:
    """The directory of an hour of a table, as it was when its names were first asked for."""

    path: Path

    @property
    def start_ms(self) -> int:
        """Its first millisecond."""
        return hour_start_ms(self.path.as_posix())

    @property
    def end_ms(self) -> int:
        """The first millisecond after it."""
        return self.start_ms + HOUR_MS

    @cached_property
    def names(self) -> frozenset[str]:
        """Every finished file."""
        found = (path.name for path in self.path.iterdir())
        return frozenset(n for n in found if n.endswith(SUFFIX) and not n.startswith("."))

    @cached_property
    def replaced(self) -> frozenset[str]:
        """The files that a compacted one stands for; they are only there still to be deleted.

        A compacted file alone in its hour replaces nothing any more, so it isn't asked.
        """
        if len(self.names) < 2:
            return frozenset()
        wholes = (name for name in self.names if name.startswith(WHOLE))
        gone = (json.loads(_footer(self.path / name).get(REPLACES, b"[]")) for name in wholes)
        return self.names.intersection(name for names in gone for name in names)

    @property
    def live(self) -> list[Path]:
        """The files that hold the rows of the hour, each row once."""
        return [self.path / name for name in sorted(self.names - self.replaced)]


def erasures_known(path: Path) -> int:
    """How many erasures had been applied when a file was written; of new files none."""
    return int(_footer(path).get(ERASURES, b"0")) if path.name.startswith(WHOLE) else 0


def hours(lake: Path, table: LakeTable) -> Iterator[Hour]:
    """The hours of a table, oldest first."""
    for directory in sorted((lake / table.name).glob("day=*/hour=*")):
        yield Hour(directory)


def _footer(path: Path) -> Mapping[bytes, bytes]:
    return pq.read_metadata(path).metadata or {}
