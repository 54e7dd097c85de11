"""Where a backfill writes, and what it makes of Redis."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from freshet import backfill_check, backfill_run
from freshet.__main__ import build
from freshet.backfill import Backfill
from freshet.backfill_check import Compared
from freshet.backfill_run import Asked, Lived, Stretch, read_topics
from freshet.backfill_sinks import StoreSink, last_file
from freshet.backfill_states import rows_of
from operators.fold import Outgoing
from schemas.codec import decode, encode
from schemas.lake import EVENTS
from schemas.topics import (
    DEAD_LETTERS,
    ITEM_SIGNALS,
    ITEM_SNAPSHOTS,
    ITEMS,
    USER_EVENTS,
    USER_SNAPSHOTS,
    Topic,
)
from schemas.types import ItemSnapshot
from settings import Settings
from stores.disk_mark import DiskMark
from stores.errors import LogUnavailable
from stores.event_log import LogMessage
from stores.log_producer import Position
from tests.stores.lake.lakes import HOUR, event, message, write
from tests.stores.records import item_event, user_snapshot
from writers.backlog import Linger


class Target:
    name = "redis"
    topics: tuple[Topic, ...] = (USER_SNAPSHOTS,)
    pause_s = 0.0
    linger: Linger | None = None
    mark: DiskMark | None = None

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.prepared = False

    def prepare(self) -> None:
        self.prepared = True

    def write(self, carried: Any) -> None:
        self.written.append([one.record.user_id for one in carried])


def test_a_store_is_written_in_batches_and_to_the_last() -> None:
    target = Target()
    with StoreSink(target, batch=2) as sink:
        assert target.prepared
        for user_id in ("a", "b", "c"):
            payload = encode(user_snapshot(user_id, 1))
            sink.tell(Outgoing(USER_SNAPSHOTS.name, user_id.encode(), payload), 5)
            sink.tell(Outgoing(DEAD_LETTERS.name, b"k", b"x"), 5)
        sink.tell(Outgoing(USER_SNAPSHOTS.name, b"d", b"no avro"), 5)
        sink.tell(Outgoing(USER_SNAPSHOTS.name, b"e", encode(user_snapshot("e", 1))), 5)
    assert target.written == [["a", "b"], ["c"], ["e"]]
    assert sink.refused == 1


def test_what_the_jobs_tell_each_other_is_not_read() -> None:
    read = read_topics()
    assert {USER_EVENTS, ITEMS} <= set(read)
    assert ITEM_SIGNALS not in read
    assert not any(topic.delta for topic in read)


def test_rows_are_told_apart() -> None:
    compared = Compared()
    for key, expected, there in (
        ("same", b"1", b"1"),
        ("erased", None, None),
        ("expired", b"1", None),
        ("differs", b"1", b"2"),
        ("left", None, b"2"),
    ):
        compared.hold(key, expected, there)
    assert compared == Compared(same=2, absent=1, different=["differs", "left"])


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def freshet(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["backfill", *arguments])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    class Source:
        def __enter__(self) -> Stretch:
            return Stretch(total=7, messages=iter(()))

        def __exit__(self, *_: object) -> None: ...

    def source(_: Settings, asked: Asked) -> Source:
        made.append(asked.until_ms)
        return Source()

    def run(_: Settings, stretch: Stretch, *, directory: Path, **options: Any) -> Lived:
        made.append((stretch.total, directory, options["until_ms"]))
        options["report"](7)
        return Lived(messages=7, keys={"user_state": 2}, counters={})

    monkeypatch.setattr(backfill_run, "SOURCES", {"kafka": source, "lake": source})
    monkeypatch.setattr(backfill_run, "run", run)
    monkeypatch.setattr(backfill_check, "comparable", lambda _: 2)
    return made


def test_states_go_where_they_are_wanted(asked: list[Any], tmp_path: Path) -> None:
    done = freshet("--to", str(tmp_path / "out"), "--until", "2026-11-21T10:00:00")
    assert done.exit_code == 0, done.output
    until_ms = 1_795_255_200_000
    assert asked == [until_ms, (7, tmp_path / "out", until_ms)]
    assert '"keys": {"user_state": 2}' in done.stdout


@pytest.mark.parametrize(("different", "code"), [([], 0), (["context:u1"], 1)])
def test_a_difference_ends_with_1(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, different: list[str], code: int
) -> None:
    found = Compared(same=5, absent=1, different=different)
    monkeypatch.setattr(backfill_check, "compare", lambda *_, **__: found)
    done = freshet("--check", "--from", "lake")
    assert done.exit_code == code
    named = ": context:u1" if different else ""
    said = f"5 as in Redis, 1 not there any more, {len(different)} different{named}\n"
    assert done.stdout.endswith(said)


def test_it_must_be_said_what_for(asked: list[Any]) -> None:
    done = freshet()
    assert (done.exit_code, "--check" in done.output, asked) == (2, True, [])


def test_a_log_that_is_away_is_told(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def source(*_: object, **__: object) -> None:
        raise LogUnavailable("no answer")

    monkeypatch.setattr(backfill_run, "SOURCES", {"kafka": source})
    done = freshet("--check")
    assert (done.exit_code, "Kafka is not available: no answer" in done.output) == (1, True)


def test_a_file_belongs_to_sources_that_are_files(asked: list[Any], tmp_path: Path) -> None:
    for wrong in (("--from", "csv", "--check"), ("--from", "lake", "log.csv", "--check")):
        done = freshet(*wrong)
        assert (done.exit_code, "a file belongs to --from csv" in done.output) == (2, True)
    assert asked == []


def living(monkeypatch: pytest.MonkeyPatch, catalogue: list[LogMessage] | None) -> None:
    """Kafka with a catalogue, or none that answers; vectors of items are asked for nowhere."""

    class Log:
        total = len(catalogue or ())

        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Self:
            if catalogue is None:
                raise LogUnavailable("no answer")
            return self

        def __iter__(self) -> Iterator[LogMessage]:
            return iter(catalogue or ())

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(backfill_run, "OrderedLog", Log)
    monkeypatch.setattr(backfill_run, "folding_jobs", lambda: ["item_state", "bandit_posteriors"])
    monkeypatch.setattr(backfill_run, "read_topics", lambda: (USER_EVENTS, ITEMS))


def lamp(at_ms: int) -> LogMessage:
    place = Position(topic=ITEMS.name, partition=0, offset=0, log_time_ms=at_ms)
    value = encode(item_event("lamp", updated_at_ms=at_ms))
    return LogMessage(position=place, key=b"lamp", value=value)


def test_events_of_a_file_are_lived_behind_the_catalogue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    living(monkeypatch, [lamp(1_795_255_200_000)])
    file = tmp_path / "log.csv"
    file.write_text("user,item,time,type\nu1,lamp,2010-11-17,view\nu1,lamp,soon,view\n")
    done = freshet("--from", "csv", str(file), "--to", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["messages"] == 2
    assert json.loads(done.stdout)["keys"] == {"item_state": 1, "bandit_posteriors": 0}
    assert f"1 rows of {file} can't be used and are left out:" in done.stderr
    assert "  line 3: time is 'soon'; wanted: 2026-11-21T10:00:00" in done.stderr
    assert "bytes read: 62 of 62" in done.stderr
    ((key, payload),) = rows_of(last_file(tmp_path / "out", ITEM_SNAPSHOTS.name))
    assert (key, decode(payload, ItemSnapshot).version) == (b"lamp", 1)


def test_a_file_without_a_good_row_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    living(monkeypatch, [])
    file = tmp_path / "log.csv"
    file.write_text("user,item,time,type\n" + "u1,lamp,soon,view\n" * 25)
    done = freshet("--from", "csv", str(file), "--to", str(tmp_path / "out"))
    assert (done.exit_code, f"error: no row of {file} can be used" in done.stderr) == (1, True)
    assert "  and 5 more" in done.stderr
    assert not (tmp_path / "out").exists()


def test_without_kafka_a_lake_is_lived_without_the_catalogue(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    living(monkeypatch, None)
    write(tmp_path / "lake", [message(EVENTS, event("e1", "u1"), 0)])
    monkeypatch.setenv("FRESHET_LAKE__EXTERNAL", str(tmp_path / "lake"))
    done = freshet("--from", "lake", "--to", str(tmp_path / "out"))
    assert (done.exit_code, json.loads(done.stdout)["messages"]) == (0, 1)
    assert "Kafka is not available: no answer; going on without the catalogue" in done.stderr
    assert "vectors of items are those in Redis now" in done.stderr


def test_the_catalogue_wakes_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may be younger than the events by years, in which every user would be forgotten."""
    passed: list[int] = []

    class Heard(Backfill):
        def pass_time(self, log_time_ms: int) -> None:
            passed.append(log_time_ms)

    living(monkeypatch, [lamp(1_795_255_200_000)])
    monkeypatch.setattr(backfill_run, "Backfill", Heard)
    write(tmp_path / "lake", [message(EVENTS, event("e1", "u1"), 0, log_time_ms=HOUR)])
    monkeypatch.setenv("FRESHET_LAKE__EXTERNAL", str(tmp_path / "lake"))
    done = freshet("--from", "lake", "--to", str(tmp_path / "out"))
    assert (json.loads(done.stdout)["messages"], passed) == (2, [HOUR - 1])
