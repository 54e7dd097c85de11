"""Where a backfill writes, and what it makes of Redis."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from freshet import backfill_run
from freshet.__main__ import build
from freshet.backfill_run import Compared, Lived, Stretch, read_topics
from freshet.backfill_sinks import StoreSink
from operators.fold import Outgoing
from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, ITEM_SIGNALS, ITEMS, USER_EVENTS, USER_SNAPSHOTS, Topic
from settings import Settings
from stores.errors import LogUnavailable
from tests.stores.records import user_snapshot


class Target:
    name = "redis"
    topics: tuple[Topic, ...] = (USER_SNAPSHOTS,)
    pause_s = 0.0

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

    def source(_: Settings, *, until_ms: int | None) -> Source:
        made.append(until_ms)
        return Source()

    def run(_: Settings, stretch: Stretch, *, directory: Path, **options: Any) -> Lived:
        made.append((stretch.total, directory, options["until_ms"]))
        options["report"](7)
        return Lived(messages=7, keys={"user_state": 2}, counters={})

    monkeypatch.setattr(backfill_run, "SOURCES", {"kafka": source, "lake": source})
    monkeypatch.setattr(backfill_run, "run", run)
    monkeypatch.setattr(backfill_run, "comparable", lambda _: 2)
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
    monkeypatch.setattr(backfill_run, "compare", lambda *_, **__: found)
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
