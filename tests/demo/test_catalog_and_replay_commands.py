import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from freshet.__main__ import build
from stores.errors import LogUnavailable

HEADER = "item_id,title,price\n"


def freshet(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.csv"
    path.write_text(HEADER + "a,Red mug,1.5\n,No id,1\nb,Blue mug,cheap\n")
    return path


def test_bad_lines_are_listed_and_end_with_1(catalog: Path) -> None:
    result = freshet("catalog", "load", catalog, "--dry-run")

    assert result.exit_code == 1
    assert result.stdout == "1 items can be loaded; nothing was sent\n"
    assert result.stderr.splitlines() == [
        "line 3: item_id is empty",
        "line 4: price 'cheap' is not a number from 0 up; write it as 12.50",
        "2 lines left out",
    ]


def test_many_bad_lines_are_counted_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text(HEADER + "a,Red mug,1.5\n" + ",No id,1\n" * 30)
    result = freshet("catalog", "load", path, "--dry-run")

    assert len(result.stderr.splitlines()) == 22
    assert result.stderr.splitlines()[-2:] == ["and 10 more lines", "30 lines left out"]


def test_a_good_file_ends_with_0(tmp_path: Path) -> None:
    (tmp_path / "catalog.csv").write_text(HEADER + "a,Red mug,1.5\n")
    result = freshet("catalog", "load", tmp_path / "catalog.csv", "--dry-run")

    assert (result.exit_code, result.stderr) == (0, "")


def test_the_shipped_catalogue_is_the_default() -> None:
    result = freshet("catalog", "load", "--dry-run")

    assert result.exit_code == 0
    assert result.stdout == "1000 items can be loaded; nothing was sent\n"


def test_a_file_that_cannot_be_used_ends_with_2(tmp_path: Path) -> None:
    result = freshet("catalog", "load", tmp_path / "none.csv", "--dry-run")

    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "none.csv: can't be read (No such file or directory); check the path" in result.stderr


def test_words_of_a_catalogue_are_kept_for_load(catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "words.json"

    assert freshet("catalog", "words", catalog, out).exit_code == 0
    assert json.loads(out.read_text()) == {"texts": 1, "words": {"mug": 1, "red": 1}}
    assert freshet("catalog", "load", "--words", out, "--dry-run").exit_code == 0


def test_words_that_cannot_be_written_end_with_2(catalog: Path, tmp_path: Path) -> None:
    result = freshet("catalog", "words", catalog, tmp_path / "none" / "words.json")

    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


def test_a_log_that_is_away_ends_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(bootstrap: str, **_: object) -> None:
        raise LogUnavailable(f"no answer from {bootstrap}")

    monkeypatch.setenv("FRESHET_KAFKA__EXTERNAL", "127.0.0.1:25999")
    monkeypatch.setattr("stores.event_log.create_topics", refuse)
    (tmp_path / "catalog.csv").write_text(HEADER + "a,Red mug,1.5\n")

    for command in (("catalog", "load", tmp_path / "catalog.csv"), ("replay", "--limit", "1")):
        result = freshet(*command)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        assert "no answer from 127.0.0.1:25999" in result.stderr


def test_a_history_that_is_too_old_ends_with_2() -> None:
    result = freshet("replay", "--rebase", "none")

    assert result.exit_code == 2
    assert "raise that setting, or use --rebase live" in result.stderr


def test_a_history_that_cannot_be_read_ends_with_2(tmp_path: Path) -> None:
    result = freshet("replay", tmp_path / "none.csv")

    assert result.exit_code == 2
    assert "none.csv: can't be read" in result.stderr
