"""What a backfill comes to, in files: the states of a job, and the last messages of a topic.

SQLite holds them, because there may be more users than fit into memory; what was touched lately
stays in memory as well. Rows lie in the order of their keys, so two files can be compared.
"""

import sqlite3
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Self

CACHED = 50_000


class KeptBytes(MutableMapping[bytes, bytes]):
    """Bytes by key in a file of its own, made anew; written when it is closed, or grows too big."""

    def __init__(self, file: Path, *, cached: int = CACHED) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        self._rows = sqlite3.connect(file, isolation_level=None)
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute("PRAGMA synchronous=OFF")
        self._rows.execute("CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        self._cached = cached
        self._recent: dict[bytes, bytes | None] = {}
        self._changed: set[bytes] = set()

    def __getitem__(self, key: bytes) -> bytes:
        value = self._recent[key] if key in self._recent else self._read(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._put(key, value)

    def __delitem__(self, key: bytes) -> None:
        self[key]
        self._put(key, None)

    def __iter__(self) -> Iterator[bytes]:
        self.flush()
        return (key for (key,) in self._rows.execute("SELECT key FROM kept ORDER BY key"))

    def __len__(self) -> int:
        self.flush()
        return int(self._rows.execute("SELECT count(*) FROM kept").fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self._rows.close()

    def flush(self) -> None:
        """Write what was changed since the last time."""
        changed = [(key, self._recent[key]) for key in self._changed]
        gone = [(key,) for key, value in changed if value is None]
        there = [(key, value) for key, value in changed if value is not None]
        self._rows.execute("BEGIN")
        self._rows.executemany("DELETE FROM kept WHERE key = ?", gone)
        self._rows.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", there)
        self._rows.execute("COMMIT")
        self._changed.clear()

    def _read(self, key: bytes) -> bytes | None:
        row = self._rows.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        value = None if row is None else bytes(row[0])
        self._remember(key, value)
        return value

    def _put(self, key: bytes, value: bytes | None) -> None:
        self._remember(key, value)
        self._changed.add(key)

    def _remember(self, key: bytes, value: bytes | None) -> None:
        if len(self._recent) >= self._cached:
            self.flush()
            self._recent.clear()
        self._recent[key] = value


def rows_of(file: Path) -> Iterator[tuple[bytes, bytes]]:
    """What a file holds, in the order of its keys."""
    rows = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        yield from rows.execute("SELECT key, value FROM kept ORDER BY key")
    finally:
        rows.close()
