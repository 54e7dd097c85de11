import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from settings.model import RecordSettings
from writers.run import Fleet, WriterCrashed, _targets


class Carrier:
    """Does what a test says."""

    def __init__(self, store: str, work: Callable[[threading.Event], None]) -> None:
        self.store = store
        self.run = work
        self.well = True

    def health(self) -> tuple[bool, dict[str, Any]]:
        return self.well, {"store": "up"}


def wait(stop: threading.Event) -> None:
    assert stop.wait(10)


def fail(_: threading.Event) -> None:
    raise RuntimeError("a fault")


def test_a_fault_of_one_stops_all_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    fleet, stop = Fleet(), threading.Event()
    fleet.start([Carrier("redis", wait), Carrier("milvus", fail)], stop)
    fleet.join()
    assert stop.is_set()
    with pytest.raises(WriterCrashed, match="ended by a fault: milvus; see the log"):
        fleet.check()
    assert "RuntimeError: a fault" in caplog.text


def test_being_told_to_stop_is_no_fault() -> None:
    fleet, stop = Fleet(), threading.Event()
    fleet.start([Carrier("redis", wait), Carrier("milvus", wait)], stop)
    stop.set()
    fleet.join()
    fleet.check()


def test_all_are_well_only_when_each_is_and_none_before_the_start() -> None:
    fleet, stop = Fleet(), threading.Event()
    assert fleet.health() == (False, {})
    redis, milvus = Carrier("redis", wait), Carrier("milvus", wait)
    fleet.start([redis, milvus], stop)
    assert fleet.health() == (True, {"redis": {"store": "up"}, "milvus": {"store": "up"}})
    milvus.well = False
    assert not fleet.health()[0]
    stop.set()
    fleet.join()


@pytest.mark.parametrize(("enabled", "stores"), [(True, ["records"]), (False, [])])
def test_the_records_are_written_unless_they_are_not_wanted(
    tmp_path: Path, *, enabled: bool, stores: list[str]
) -> None:
    records = RecordSettings(enabled=enabled)
    targets = _targets(Settings(data_dir=tmp_path, records=records))
    assert [target.name for target in targets] == ["redis", "milvus", *stores]
