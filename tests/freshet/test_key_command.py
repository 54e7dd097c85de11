import json
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import pytest
from typer.testing import CliRunner, Result

from freshet.__main__ import build
from serving.key_file import read_keys
from serving.keys import recognised

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keys shall lie; there is none yet, nor its directory."""
    monkeypatch.chdir(tmp_path)
    named = tmp_path / "etc" / "keys.toml"
    monkeypatch.setenv("FRESHET_SERVING__KEYS_FILE", str(named))
    return named


def key(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["key", *arguments])


def test_a_key_is_printed_once_and_then_known(file: Path) -> None:
    made = key("create", "the shop", "--tier", "premium", "--scope", "serve", "--scope", "feedback")
    assert made.exit_code == 0, made.output
    text = made.stdout.strip()
    found = recognised(text, read_keys(file), NOW)
    assert (found.name, found.tier) == ("the shop", "premium")
    assert found.scopes == {"serve", "feedback"}
    assert len(text.split("_", 2)[2]) == 43
    assert text.split("_", 2)[2] not in file.read_text()
    assert text not in key("list").output


def test_no_two_keys_are_alike_and_the_first_stays(file: Path) -> None:
    first, second = key("create", "a").stdout.strip(), key("create", "b").stdout.strip()
    assert first != second
    assert recognised(first, read_keys(file), NOW).tier == "standard"
    assert recognised(second, read_keys(file), NOW).scopes == {"serve"}


def test_a_list_tells_everything_but_secrets(file: Path) -> None:
    key("create", "a", "--until", "2100-01-01T00:00:00Z")
    (line,) = key("list").stdout.splitlines()
    told = json.loads(line)
    (key_id,) = read_keys(file)
    assert told == {
        "id": key_id,
        "name": "a",
        "tier": "standard",
        "scopes": ["serve"],
        "expires_at": "2100-01-01T00:00:00+00:00",
        "revoked_at": None,
    }


def test_a_revoked_key_is_kept_as_such(file: Path) -> None:
    text = key("create", "a").stdout.strip()
    key_id = text.split("_")[1]
    assert key("revoke", key_id).exit_code == 0
    assert read_keys(file)[key_id].refusal(NOW) == f"the key {key_id} was revoked"
    assert json.loads(key("list").stdout)["revoked_at"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", 'x"'), 2, "must be 1 to 64 letters"),
        (("create", "x\n"), 2, "must be 1 to 64 letters"),
        (("create", "x", "--tier", "gold"), 2, "gold"),
        (("create", "x", "--scope", "all"), 2, "all"),
        (("create", "x", "--until", "soon"), 2, "is no time"),
        (("create", "x", "--until", "2100-01-01"), 2, "must say its zone"),
        (("create", "x", "--until", "2020-01-01T00:00:00Z"), 2, "must not be"),
        (("list",), 1, "freshet key create"),
        (("revoke", "0000000a"), 1, "can't be read"),
    ],
)
def test_wrong_use_is_explained_and_makes_nothing(
    file: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    told = key(*arguments)
    assert (told.exit_code, says in " ".join(told.output.split())) == (code, True), told.output
    assert not file.exists()


def test_an_unknown_key_cant_be_revoked() -> None:
    key("create", "a")
    told = key("revoke", "0000000a")
    assert told.exit_code == 1
    assert "has no key 0000000a; `freshet key list`" in told.output


def _make_some(number: int, ready: Barrier) -> None:
    ready.wait()
    for turn in range(5):
        assert key("create", f"k{number}-{turn}").exit_code == 0


def test_writers_at_the_same_time_lose_no_key(file: Path) -> None:
    """Real processes; and while they make keys, this one revokes one."""
    forking = get_context("fork")
    key_id = key("create", "first").stdout.split("_")[1]
    ready = forking.Barrier(5)
    running = [forking.Process(target=_make_some, args=(number, ready)) for number in range(4)]
    for one in running:
        one.start()
    ready.wait()
    assert key("revoke", key_id).exit_code == 0
    for one in running:
        one.join(60)
    assert [one.exitcode for one in running] == [0] * 4
    kept = read_keys(file)
    names = {f"k{number}-{turn}" for number in range(4) for turn in range(5)}
    assert {key.name for key in kept.values()} == {"first", *names}
    assert kept[key_id].revoked_at


def test_without_a_file_named_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHET_SERVING__KEYS_FILE")
    for arguments in (("list",), ("create", "a"), ("revoke", "0000000a")):
        told = key(*arguments)
        assert (told.exit_code, "serving.keys_file is empty" in told.output) == (2, True)
