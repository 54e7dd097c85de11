"""Readers and the deletion of replaced files keep out of each other's way by a lock of the kernel.

It is gone with the process that holds it, whatever becomes of that one.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stores.lake.errors import LakeError

POLL_S = 0.05


@contextmanager
def reading(lake: Path) -> Iterator[None]:
    """Inside, no file that was there at the beginning is deleted."""
    with _opened(lake, "readers") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def deleting(lake: Path, *, patience_s: float) -> Iterator[bool]:
    """Inside, nobody reads; answers False where somebody still does after `patience_s`."""
    with _opened(lake, "readers") as file:
        yield _taken(file, patience_s)


@contextmanager
def compacting(lake: Path) -> Iterator[None]:
    """Inside, nobody else compacts this lake."""
    with _opened(lake, "compaction") as file:
        if not _taken(file, 0.0):
            raise LakeError(f"another compaction of {lake} runs; wait until it has ended")
        yield


@contextmanager
def _opened(lake: Path, name: str) -> Iterator[IO[bytes]]:
    if not lake.is_dir():
        raise LakeError(
            f"there is no lake at {lake}; the job interaction_lake makes it "
            "(`freshet job submit interaction_lake`)"
        )
    with (lake / f".{name}.lock").open("ab") as file:
        yield file


def _taken(file: IO[bytes], patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        else:
            return True
