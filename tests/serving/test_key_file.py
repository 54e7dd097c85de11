import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from serving.key_file import FollowedKeys, KeyFileError, only_writer, read_keys, write_keys
from tests.clock import Clock
from tests.serving.callers_at_hand import ADMIN, EXPIRED, FEEDBACK, KEYS, REVOKED, SERVE

MOMENT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    both = replace(SERVE, name="a.b_c@d e-f", scopes=frozenset({"serve", "feedback"}))
    write_keys(file, [both, FEEDBACK, ADMIN, EXPIRED, REVOKED])
    assert read_keys(file) == {key.key_id: key for key in (both, *KEYS[1:])}
    write_keys(file, [])
    assert read_keys(file) == {}


def test_only_the_owner_may_read_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, KEYS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert "secret" not in file.read_text()


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, [SERVE])

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("serving.key_file.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_keys(file, KEYS)
    assert read_keys(file).keys() == {SERVE.key_id}
    assert list(tmp_path.iterdir()) == [file]


def test_a_writer_waits_for_another_and_in_the_end_says_so(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    refused = pytest.raises(KeyFileError, match=r"keys\.toml\.lock: another `freshet key`")
    with only_writer(file), refused, only_writer(file, within_s=0.05):
        pass
    with only_writer(file, within_s=0):
        write_keys(file, KEYS)


def entry(tier: str = "free", scopes: str = "['serve']", more: str = "") -> str:
    head = f"[keys.0000000a]\nname = 'n'\nsha256 = '{'a' * 64}'\n"
    return f"{head}tier = '{tier}'\nscopes = {scopes}\n{more}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[keys", "is not valid TOML"),
        ("\udcff", "is not valid TOML"),
        ("x = 1", "x: extra inputs are not permitted"),
        ("[keys.abc]", "keys.abc.[key]: string should match pattern"),
        ("[keys.0000000a]\nname = 'n'", "keys.0000000a.sha256: field required"),
        (
            "[keys.0000000a]\nname = 'n'\nsha256 = 'ab'\ntier = 'free'\nscopes = ['serve']",
            "keys.0000000a.sha256: string should match",
        ),
        (entry(tier="gold"), "keys.0000000a.tier: input should be 'premium'"),
        (entry(scopes="[]"), "keys.0000000a.scopes: list should have at least 1"),
        (entry(scopes="['all']"), "keys.0000000a.scopes.0: input should be 'serve'"),
        (
            entry(more="expires_at = 2027-01-01T00:00:00"),
            "keys.0000000a.expires_at: input should have timezone info",
        ),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(KeyFileError) as raised:
        read_keys(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert says in str(raised.value)


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"No such file.*freshet key create"):
        read_keys(tmp_path / "none.toml")


def test_a_key_that_is_revoked_ends_within_a_second(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys.toml", Clock()
    write_keys(file, [SERVE])
    keys = FollowedKeys(file, clock_s=clock)
    write_keys(file, [replace(SERVE, revoked_at=MOMENT), FEEDBACK])
    clock.now += 0.9
    assert keys.current() == {SERVE.key_id: SERVE}
    clock.now += 0.2
    assert keys.current()[SERVE.key_id].revoked_at == MOMENT
    assert FEEDBACK.key_id in keys.current()


def test_while_the_file_cant_be_read_the_keys_stay(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys.toml", Clock()
    write_keys(file, [SERVE])
    keys = FollowedKeys(file, clock_s=clock)
    for damage in (lambda: file.write_text("["), file.unlink):
        damage()
        clock.now += 1.1
        with capture_logs() as logs:
            assert keys.current() == {SERVE.key_id: SERVE}
        assert [entry["log_level"] for entry in logs] == ["warning"]
        assert str(file) in logs[0]["error"]
    write_keys(file, [])
    clock.now += 1.1
    assert keys.current() == {}
