"""The lake is compacted by itself, and nothing that goes wrong there ends the process."""

import logging
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freshet import lake_schedule
from freshet.__main__ import build
from freshet.job_watch import JobWatch
from freshet.lake_schedule import LakeSchedule
from schemas.lake import EVENTS
from settings import Settings
from settings.model import LakeSettings
from stores.lake.locks import compacting
from stores.lake.reading import Lake
from tests.stores.lake.lakes import HOUR, event, hours_later, message, write


def schedule(lake: Path, every_s: float = 3_600) -> LakeSchedule:
    settings = Settings(lake=LakeSettings(external=str(lake), compact_every_s=every_s))
    return LakeSchedule(settings, now_ms=lambda: hours_later(3))


def fill(lake: Path) -> None:
    for offset, (name, kind) in enumerate((("u1", "view"), ("u2", "view"), ("u1", "erase"))):
        one = event(f"e{offset}", name, event_type=kind)
        write(lake, [message(EVENTS, one, offset, log_time_ms=HOUR + offset)])


def users(lake: Path) -> list[str]:
    batches = Lake(lake).read(EVENTS, columns=["user_id"])
    return [name for batch in batches for name in batch["user_id"].to_pylist()]


def test_the_rows_of_an_erased_user_go_by_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    caplog.set_level(logging.INFO)
    schedule(tmp_path).turn()
    assert users(tmp_path) == ["u2"]
    said = "compaction: 3 files of 1 hours became 1, 2 rows of erased users are gone, 0 files wait"
    assert caplog.messages == [said]


class Stop(threading.Event):
    """Waits for nobody; notes for how long it was asked to, and is set after some times."""

    def __init__(self, *, times: int) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._times = times

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return len(self.waits) > self._times


@pytest.mark.parametrize(("every_s", "waits"), [(3_600, [300.0, 3_600, 3_600]), (60, [60, 60, 60])])
def test_the_first_comes_soon_and_others_in_their_time(
    tmp_path: Path, every_s: float, waits: list[float]
) -> None:
    stop = Stop(times=2)
    schedule(tmp_path / "none", every_s).run(stop)
    assert stop.waits == waits


def test_a_compaction_that_fails_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    with compacting(tmp_path):
        schedule(tmp_path).turn()
    assert caplog.messages == [
        f"compaction: another compaction of {tmp_path} runs; wait until it has ended"
    ]
    with monkeypatch.context() as broken:
        broken.setattr(lake_schedule, "Compaction", None)
        schedule(tmp_path).run(Stop(times=2))
    failed = f"compaction of {tmp_path} failed; it is tried again"
    assert caplog.messages[1:] == [failed, failed]
    assert caplog.records[1].exc_info


def test_it_runs_beside_and_ends_when_told(tmp_path: Path) -> None:
    fill(tmp_path)
    stop = threading.Event()
    thread = schedule(tmp_path, 0.01).start(stop)
    assert thread is not None
    for _ in range(500):
        if users(tmp_path) == ["u2"]:
            break
        stop.wait(0.02)
    stop.set()
    thread.join(10)
    assert (users(tmp_path), thread.is_alive(), thread.daemon) == (["u2"], False, True)


def test_nothing_runs_where_none_is_wanted(tmp_path: Path) -> None:
    assert schedule(tmp_path, 0).start(threading.Event()) is None


def test_the_watch_over_the_jobs_compacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("freshet.commands.job.signal.signal", lambda *_: None)
    monkeypatch.setattr(LakeSchedule, "start", lambda _, stop: started.append(stop))
    monkeypatch.setattr(JobWatch, "run", lambda _, stop: started.append(stop))
    done = CliRunner().invoke(build(), ["job", "watch"])
    assert (done.exit_code, len(started), started[0] is started[-1]) == (0, 2, True)
    # It stops what it has begun: its clock would go on calling for Kafka.
    assert "log clock" not in {thread.name for thread in threading.enumerate()}
