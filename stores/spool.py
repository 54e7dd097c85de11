"""Messages that were acknowledged while the log was away, on disk until it is back."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stores.errors import StoreRejected, StoreUnavailable

STORE = "the spool"
BUSY_S = 2.0
TABLE = (
    "CREATE TABLE IF NOT EXISTS waiting "
    "(number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, payload BLOB NOT NULL)"
)


class Spooled(NamedTuple):
    """A message that waits, and its number in line."""

    number: int
    key: str
    payload: bytes


class Spool:
    """A bounded line of messages in one file, which several processes may share.

    What `keep` has returned from is on the disk. Raises `StoreRejected` where the line is full and
    `StoreUnavailable` where the disk takes nothing. Used from any thread.
    """

    def __init__(self, file: Path, *, most: int) -> None:
        self._file = file
        self._most = most
        self._turn = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def __len__(self) -> int:
        with self._turn, _told():
            return self._count() if self._file.exists() else 0

    def keep(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Put messages at the end of the line, all or none."""
        with self._turn, _told():
            database = self._database()
            database.execute("BEGIN IMMEDIATE")
            try:
                self._require_room(len(messages))
                database.executemany("INSERT INTO waiting (key, payload) VALUES (?, ?)", messages)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def first(self, count: int) -> list[Spooled]:
        """The first in line; they stay there until they are dropped."""
        with self._turn, _told():
            if not self._file.exists():
                return []
            rows = self._database().execute(
                "SELECT number, key, payload FROM waiting ORDER BY number LIMIT ?", (count,)
            )
            return [Spooled(*row) for row in rows]

    def drop(self, numbers: Iterable[int]) -> None:
        """Take messages out of the line."""
        with self._turn, _told():
            self._database().executemany(
                "DELETE FROM waiting WHERE number = ?", [(number,) for number in numbers]
            )

    def _require_room(self, count: int) -> None:
        waiting = self._count()
        if waiting + count > self._most:
            raise StoreRejected(STORE, f"{waiting} messages wait already; {self._most} may")

    def _count(self) -> int:
        (count,) = self._database().execute("SELECT count(*) FROM waiting").fetchone()
        return int(count)

    def _database(self) -> sqlite3.Connection:
        """The file, made when something is kept for the first time."""
        if self._opened is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            opened = sqlite3.connect(
                self._file, timeout=BUSY_S, check_same_thread=False, isolation_level=None
            )
            opened.execute("PRAGMA journal_mode = WAL")
            opened.execute("PRAGMA synchronous = FULL")
            opened.execute(TABLE)
            self._opened = opened
        return self._opened


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of the file into the stores' own."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(STORE, error) from error
