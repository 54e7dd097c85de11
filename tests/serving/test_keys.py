from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serving.keys import KeyRefusedError, digest_of, recognised, text_of
from tests.serving.callers_at_hand import FEEDBACK, SERVE

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TEXT = text_of(SERVE.key_id, "serve-secret")
KEYS = {key.key_id: key for key in (SERVE, FEEDBACK)}


def test_a_key_is_known_by_its_digest_alone() -> None:
    found = recognised(TEXT, KEYS, NOW)
    assert (found, found.caller().kind, found.caller().tier) == (SERVE, "key", "standard")
    assert "serve-secret" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fk_",
        "fk_0000000a",
        "fk_0000000a_",
        TEXT[:-1],
        TEXT + "x",
        TEXT.upper(),
        TEXT.removeprefix("fk_"),
        text_of(FEEDBACK.key_id, "serve-secret"),
        text_of("ffffffff", "serve-secret"),
        digest_of(TEXT),
        text_of(SERVE.key_id, SERVE.digest),
    ],
)
def test_anything_else_is_not_known(text: str) -> None:
    with pytest.raises(KeyRefusedError, match="the key is not known here"):
        recognised(text, KEYS, NOW)


def test_a_key_ends_at_its_moment() -> None:
    ending = {SERVE.key_id: replace(SERVE, expires_at=NOW)}
    assert recognised(TEXT, ending, NOW - timedelta(microseconds=1))
    with pytest.raises(KeyRefusedError, match="0000000a ended at 2026-06-01T00:00:00"):
        recognised(TEXT, ending, NOW)


def test_a_revoked_key_is_refused_but_only_who_has_it_learns_that() -> None:
    revoked = {SERVE.key_id: replace(SERVE, revoked_at=NOW)}
    with pytest.raises(KeyRefusedError, match="0000000a was revoked"):
        recognised(TEXT, revoked, NOW)
    with pytest.raises(KeyRefusedError, match="not known"):
        recognised(TEXT + "x", revoked, NOW)
