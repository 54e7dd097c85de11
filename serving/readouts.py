"""Reads experiments out for the HTTP interface: in a process of its own, at most once a minute."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from cachetools import TTLCache

from domain.experiments import Experiment
from serving.experiment_readout import ExperimentReadout, readout_of
from stores.lake.sql import answering

KEPT_S = 60.0
KEPT = 100


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the rows of experiments are asked for: the files of a lake, or a ClickHouse server."""

    lake: Path
    server: str = field(default="", repr=False)
    timeout_s: float = 60.0


def read(ledger: Ledger, experiment: Experiment) -> ExperimentReadout:
    """Ask for the rows of an experiment, and count."""
    with answering(ledger.lake, server=ledger.server, timeout_s=ledger.timeout_s) as asked:
        return readout_of(experiment, asked)


def process_of_its_own() -> Executor:
    """A process that ends with its answer.

    ClickHouse as a library takes hundreds of megabytes, and handles the signals of its process.
    """
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1)


class Readouts:
    """Readouts that may be a minute old; who asks for the same one meanwhile waits for it."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        executor: Callable[[], Executor] = process_of_its_own,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._executor = executor
        self._known: TTLCache[str, ExperimentReadout] = TTLCache(KEPT, KEPT_S, timer=clock)
        self._turn = asyncio.Lock()

    async def of(self, experiment: Experiment) -> ExperimentReadout:
        """What an experiment shows; raises `LakeError` or `StoreError` where nobody can tell."""
        async with self._turn:
            known = self._known.get(experiment.experiment_id)
            if known is None or known.experiment != experiment:
                known = await self._read(experiment)
                self._known[experiment.experiment_id] = known
            return known

    async def _read(self, experiment: Experiment) -> ExperimentReadout:
        loop = asyncio.get_running_loop()
        worker = self._executor()
        try:
            return await loop.run_in_executor(worker, read, self._ledger, experiment)
        finally:
            worker.shutdown(wait=False)
