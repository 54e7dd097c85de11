from pathlib import Path
from typing import Any

import pytest

from serving.admission import admission_of, refuse_if_exposed
from serving.callers import ADMIN, NOBODY
from serving.errors import ApiError
from serving.key_file import write_keys
from settings import Settings, SettingsError
from tests.serving.callers_at_hand import (
    ADMIN_TOKEN,
    AUDIENCE,
    ISSUER,
    JWT_SECRET,
    KEYS,
    guarded,
    token,
)

KEY = "fk_0000000a_serve-secret"
TOKENS = {
    "jwt_algorithm": "HS256",
    "jwt_secret": JWT_SECRET,
    "jwt_issuer": ISSUER,
    "jwt_audience": AUDIENCE,
}


def settings(**serving: Any) -> Settings:
    return Settings.model_validate({"serving": serving})


def test_without_keys_and_tokens_anybody_is_let_in() -> None:
    admission = admission_of(settings(admin_token=ADMIN_TOKEN))
    assert admission.is_open
    anybody = admission.caller("")
    assert (anybody.kind, anybody.tier, anybody.user_id) == ("anonymous", None, None)
    assert admission.caller("Bearer whatever") == anybody
    assert admission.caller(f"Bearer {ADMIN_TOKEN}") == ADMIN


def test_an_open_service_may_have_the_limits_of_a_tier() -> None:
    admission = admission_of(Settings.model_validate({"limits": {"open_tier": "free"}}))
    assert admission.caller("").tier == "free"


def test_an_empty_admin_token_opens_nothing(tmp_path: Path) -> None:
    admission = admission_of(guarded(tmp_path, admin_token=""))
    for header in ("", "Bearer", "Bearer ", "Bearer  "):
        assert admission.caller(header) == NOBODY


def test_where_only_keys_are_taken_a_token_is_an_unknown_key(tmp_path: Path) -> None:
    admission = admission_of(guarded(tmp_path, jwt_algorithm=""))
    assert admission.caller(f"Bearer {KEY}").kind == "key"
    with pytest.raises(ApiError, match="the key is not known here"):
        admission.caller(f"Bearer {token()}")


def test_where_only_tokens_are_taken_a_key_is_refused(tmp_path: Path) -> None:
    admission = admission_of(settings(**TOKENS))
    assert admission.caller(f"Bearer {token()}").user_id == "u1"
    with pytest.raises(ApiError, match="no keys are taken here"):
        admission.caller(f"Bearer {KEY}")


def test_a_file_of_keys_that_isnt_there_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"serving\.keys_file: .*freshet key create"):
        admission_of(settings(keys_file=str(tmp_path / "none.toml")))


def test_a_file_without_keys_lets_nobody_in(tmp_path: Path) -> None:
    write_keys(tmp_path / "keys.toml", [])
    admission = admission_of(settings(keys_file=str(tmp_path / "keys.toml")))
    assert admission.caller("") == NOBODY
    with pytest.raises(ApiError, match="the key is not known here"):
        admission.caller(f"Bearer {KEY}")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.org", "", "127.0.0.1.nip"])
def test_an_open_service_is_not_put_on_the_network_unasked(host: str, tmp_path: Path) -> None:
    opened = settings(host=host)
    with pytest.raises(SettingsError, match=r"others can reach it.*allow_open = true"):
        refuse_if_exposed(admission_of(opened), opened)
    for fine in (settings(host=host, allow_open=True), settings(host=host, **TOKENS)):
        refuse_if_exposed(admission_of(fine), fine)
    write_keys(tmp_path / "keys.toml", KEYS)
    keyed = settings(host=host, keys_file=str(tmp_path / "keys.toml"))
    refuse_if_exposed(admission_of(keyed), keyed)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_it_may_be_open(host: str) -> None:
    opened = settings(host=host)
    refuse_if_exposed(admission_of(opened), opened)
