"""Which jobs somebody wants running, kept in small files under the data directory.

A job is wanted from the time it was submitted until it is cancelled or stopped by one of our
commands. Whoever starts or ends a job holds its lock meanwhile; the kernel drops it with them.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.part import StackError


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted of a job on one cluster, and where it goes on from.

    It goes on from the newest checkpoint that was made at `since_ms` or later, and where there is
    none from `restore`; `seen` is the last checkpoint that the cluster told of, for clusters whose
    checkpoints can't be listed from here.
    """

    cluster: str
    wanted: bool = False
    since_ms: int = 0
    restore: str | None = None
    seen: str | None = None


class WantedJobs:
    """The wishes for the jobs of one cluster."""

    def __init__(self, directory: Path, *, cluster: str) -> None:
        self._directory = directory
        self._cluster = cluster

    def of(self, name: str) -> Wish:
        """The wish for a job; of another cluster's nothing is known here."""
        try:
            wish = Wish(**json.loads(self._file(name).read_text()))
        except FileNotFoundError:
            return Wish(cluster=self._cluster)
        return wish if wish.cluster == self._cluster else Wish(cluster=self._cluster)

    def keep(self, name: str, wish: Wish) -> None:
        """Replace the wish for a job, in one step."""
        self._directory.mkdir(parents=True, exist_ok=True)
        draft = self._file(name).with_suffix(".draft")
        draft.write_text(json.dumps(asdict(wish)))
        draft.replace(self._file(name))

    @contextmanager
    def held(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Be the only one who starts or ends a job; raises `Busy` where that can't be now."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise Busy(f"another command works on {name}") from error
            yield

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.wish.json"


class Busy(StackError):  # noqa: N818
    """Somebody else starts or ends this job right now."""
