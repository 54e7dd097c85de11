import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from domain.experiments import Experiment
from serving.experiment_readout import ExperimentReadout
from serving.readouts import KEPT_S, Ledger, Readouts
from stores.lake.errors import LakeError
from tests.clock import Clock
from tests.serving.compared import fill, following


class Workers:
    """Threads, counted."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Executor:
        self.made += 1
        return ThreadPoolExecutor(1)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    fill(tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def ranking(tmp_path: Path) -> Experiment:
    found = following(tmp_path).current.named("ranking")
    assert found is not None
    return found


def told(readout: ExperimentReadout) -> list[tuple[str, int, int]]:
    return [(arm.arm, arm.users, arm.conversions) for arm in readout.readout.arms]


async def test_a_process_of_its_own_counts_the_lake(lake: Path, ranking: Experiment) -> None:
    readout = await Readouts(Ledger(lake=lake)).of(ranking)
    assert told(readout) == [("control", 2, 1), ("bold", 1, 0)]


async def test_what_is_known_is_told_again_for_a_minute(lake: Path, ranking: Experiment) -> None:
    workers, clock = Workers(), Clock()
    readouts = Readouts(Ledger(lake=lake), executor=workers, clock=clock)
    await asyncio.gather(*(readouts.of(ranking) for _ in range(3)))
    clock.now = KEPT_S - 1
    await readouts.of(ranking)
    assert workers.made == 1
    clock.now = KEPT_S
    await readouts.of(ranking)
    assert workers.made == 2


async def test_a_changed_experiment_is_counted_anew(lake: Path, ranking: Experiment) -> None:
    workers = Workers()
    readouts = Readouts(Ledger(lake=lake), executor=workers)
    await readouts.of(ranking)
    nothing = await readouts.of(replace(ranking, conversions=frozenset({"purchase"})))
    assert told(nothing) == [("control", 2, 0), ("bold", 1, 0)]


async def test_an_empty_lake_is_told_and_not_remembered(
    tmp_path: Path, ranking: Experiment
) -> None:
    readouts = Readouts(Ledger(lake=tmp_path / "lake"), executor=Workers())
    with pytest.raises(LakeError, match="there is no lake"):
        await readouts.of(ranking)
    fill(tmp_path / "lake")
    assert told(await readouts.of(ranking))[0] == ("control", 2, 1)
