"""Keeps the experiments in step with their file."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from domain.experiments import Experiments, disturbances
from serving.experiments import ExperimentsError, load_experiments
from serving.metrics import Metrics

log = structlog.get_logger(__name__)


class ExperimentsFollower:
    """Reads the file when it has changed; while that can't be used, what it said before holds."""

    def __init__(
        self, path: Path, *, metrics: Metrics, every_s: float, now_ms: Callable[[], int]
    ) -> None:
        """Read the file for the first time, when it has to be right."""
        self._path = path
        self._metrics = metrics
        self._every_s = every_s
        self._now_ms = now_ms
        self._stamp = _stamp(path)
        self._take(load_experiments(path))

    @property
    def current(self) -> Experiments:
        """The experiments of the last file that could be used."""
        return self._current

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            self.try_refresh()

    def try_refresh(self) -> None:
        """Read the file if it isn't the one that was read last."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            experiments = load_experiments(self._path)
        except ExperimentsError as error:
            self._metrics.experiments_refused.set(1)
            log.warning("the experiments stay as they were: the file is no good", error=str(error))
            return
        for problem in disturbances(self._current, experiments, at_ms=self._now_ms()):
            log.warning("a running experiment is disturbed", problem=problem)
        self._take(experiments)
        log.info("the experiments were read again", experiments=len(experiments.defined))

    def _take(self, experiments: Experiments) -> None:
        self._current = experiments
        self._metrics.experiments.set(len(experiments.defined))
        self._metrics.experiments_refused.set(0)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content, None if it isn't there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
