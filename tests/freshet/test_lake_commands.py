"""`freshet lake` and `freshet sql`, as somebody types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from freshet.__main__ import build
from schemas.lake import EVENTS
from tests.stores.lake.lakes import HOUR, event, message, write


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "lake"
    monkeypatch.setenv("FRESHET_LAKE__EXTERNAL", str(directory))
    monkeypatch.chdir(tmp_path)
    return directory


def freshet(*arguments: str) -> Result:
    return CliRunner().invoke(build(), arguments)


def fill(lake: Path) -> None:
    """An hour long ago, in three files, and a user who asks to be forgotten."""
    for offset, (name, kind) in enumerate((("u1", "view"), ("u2", "view"), ("u1", "erase"))):
        one = event(f"e{offset}", name, event_type=kind)
        write(lake, [message(EVENTS, one, offset, log_time_ms=HOUR + offset)])


def test_status_tells_of_each_table(lake: Path) -> None:
    fill(lake)
    found = json.loads(freshet("lake", "status", "--json").stdout)
    events = found["tables"][0]
    assert (events["name"], events["rows"], events["files"], events["hours"]) == ("events", 3, 3, 1)
    assert (found["erasures"], found["erasures_waiting"]) == (0, 1)
    shown = freshet("lake", "status").stdout
    assert "3 rows      3 files" in shown
    assert "1 hours, 2026-09-21 14h to 2026-09-21 14h" in shown
    assert "0 erasures in force, 1 not yet; 0 replaced files wait to be deleted" in shown


def test_compact_tells_what_it_did(lake: Path) -> None:
    fill(lake)
    assert freshet("lake", "compact").stdout.splitlines() == [
        "3 files of 1 hours became 1",
        "2 rows of erased users are gone",
    ]
    assert "1 erasures in force, 0 not yet" in freshet("lake", "status").stdout


def test_compact_takes_a_day(lake: Path) -> None:
    fill(lake)
    assert freshet("lake", "compact", "--day", "2026-13-01").exit_code == 2


def test_no_lake_is_one_sentence(lake: Path) -> None:
    for command in (("lake", "status"), ("lake", "compact"), ("sql", "SELECT 1")):
        done = freshet(*command)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"error: there is no lake at {lake};")


def test_sql_answers_in_each_form(lake: Path) -> None:
    fill(lake)
    question = "SELECT event_id FROM interactions ORDER BY 1"
    assert freshet("sql", question, "--csv").stdout == '"event_id"\n"e0"\n"e1"\n'
    found = json.loads(freshet("sql", question, "--json").stdout)
    assert found == [{"event_id": "e0"}, {"event_id": "e1"}]
    assert "│ e0       │" in freshet("sql", question).stdout
    assert freshet("sql", question, "--json", "--csv").exit_code == 2


def test_sql_tells_what_is_wrong_with_a_statement(lake: Path) -> None:
    fill(lake)
    done = freshet("sql", "SELECT nope FROM interactions")
    assert done.exit_code == 1
    assert "Unknown expression identifier `nope`" in done.stderr


def test_sql_asks_the_server_that_is_named(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_LAKE__CLICKHOUSE", "http://127.0.0.1:1")
    done = freshet("sql", "SELECT 1")
    assert done.exit_code == 1
    assert "ClickHouse is not available: http://127.0.0.1:1/" in done.stderr
