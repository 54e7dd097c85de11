import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from stores.errors import StoreRejected, StoreUnavailable
from stores.spool import Spool


def kept(*names: str) -> list[tuple[str, bytes]]:
    return [(name, name.encode() * 3) for name in names]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spool.sqlite"


def test_messages_come_in_their_order_until_they_are_dropped(file: Path) -> None:
    spool = Spool(file, most=10)
    spool.keep(kept("a", "b"))
    spool.keep(kept("c"))
    assert len(spool) == 3
    first = spool.first(2)
    assert [(one.key, one.payload) for one in first] == kept("a", "b")
    assert spool.first(2) == first
    spool.drop([one.number for one in first])
    assert [one.key for one in spool.first(9)] == ["c"]


def test_a_spool_that_nothing_was_kept_in_has_no_file(file: Path) -> None:
    spool = Spool(file, most=10)
    assert (spool.first(1), len(spool), file.exists()) == ([], 0, False)


def test_a_full_spool_takes_all_of_a_request_or_nothing(file: Path) -> None:
    spool = Spool(file, most=3)
    spool.keep(kept("a", "b"))
    with pytest.raises(StoreRejected, match="2 messages wait already; 3 may"):
        spool.keep(kept("c", "d"))
    assert [one.key for one in spool.first(9)] == ["a", "b"]
    spool.keep(kept("e"))


def test_what_was_kept_outlives_a_killed_process(file: Path) -> None:
    keep_and_die = f"""
import os, signal
from pathlib import Path
from stores.spool import Spool
Spool(Path({str(file)!r}), most=9).keep([("a", b"1"), ("b", b"2")])
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", keep_and_die], check=False)
    assert died.returncode == -signal.SIGKILL
    assert [one.key for one in Spool(file, most=9).first(9)] == ["a", "b"]


def test_two_processes_share_a_file(file: Path) -> None:
    one, other = Spool(file, most=9), Spool(file, most=9)
    one.keep(kept("a"))
    other.keep(kept("b"))
    assert [each.key for each in one.first(9)] == ["a", "b"]


def test_a_file_that_takes_nothing_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(file, most=9)
    spool.keep(kept("a"))
    blocking = sqlite3.connect(file, isolation_level=None)
    blocking.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("stores.spool.BUSY_S", 0.1)
    with pytest.raises(StoreUnavailable, match="the spool is not available: database is locked"):
        Spool(file, most=9).keep(kept("b"))
    blocking.close()
    broken = file.parent / "broken.sqlite"
    broken.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        Spool(broken, most=9).keep(kept("b"))
