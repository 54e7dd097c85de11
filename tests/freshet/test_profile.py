import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from freshet.__main__ import build
from stores.records.database import Database
from stores.records.learned import LearnedWriter
from stores.records.tables import schema_version
from tests.stores.records import user_snapshot


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the records lie; there is none yet."""
    monkeypatch.setenv("FRESHET_DATA_DIR", str(tmp_path))
    return tmp_path / "records.sqlite"


def profile(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["profile", *arguments])


def test_what_is_entered_is_shown_beside_what_was_learned(file: Path) -> None:
    assert profile("prefer", "u", '{"drama": 0.8}', "--by", "ada").exit_code == 0
    assert profile("block", "u", "--item", "i", "--creator", "c", "--by", "ada").exit_code == 0
    assert profile("unblock", "u", "--creator", "c").exit_code == 0
    with Database(f"sqlite:///{file}") as database:
        LearnedWriter(database).write(users=[user_snapshot("u", 3, country="DE")])
    shown = json.loads(profile("show", "u").stdout)
    assert shown["learned"]["country_code"] == "DE"
    assert shown["entered"]["explicit_preferences"] == {"drama": 0.8}
    assert shown["entered"]["blocked_items"] == ["i"]
    assert shown["entered"]["blocked_creators"] == []
    assert [entry["by"] for entry in shown["entries"][:3]] == ["ada"] * 3
    assert len(shown["entries"]) == 4
    assert profile("unblock", "u", "--item", "i").exit_code == 0
    assert json.loads(profile("show", "u").stdout)["entered"]["blocked_items"] == []


def test_an_unknown_user_is_one_line_and_exit_code_1() -> None:
    found = profile("show", "nobody")
    assert (found.exit_code, found.stderr) == (1, "error: the records know no user nobody\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prefer", "u", "{"), "'{' is no JSON"),
        (("prefer", "u", "[1]"), "'[1]' is no JSON object"),
        (("block", "u"), "say --item or --creator"),
        (("unblock", "u"), "say --item or --creator"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[str, ...], message: str) -> None:
    found = profile(*arguments)
    assert found.exit_code == 2
    assert message in found.stderr


def test_records_that_cannot_be_used_are_one_line(file: Path) -> None:
    profile("block", "u", "--item", "i")
    with Database(f"sqlite:///{file}") as database, database.writing() as connection:
        connection.execute(schema_version.update().values(version=9))
    found = profile("show", "u")
    assert found.exit_code == 1
    assert found.stderr.startswith("error: the relational store is not available: its tables are")
