"""A service that needs keys and tokens, and one caller of each kind."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from serving.key_file import write_keys
from serving.keys import ApiKey, digest_of, text_of
from settings import Settings

ADMIN_TOKEN = "open-sesame"
JWT_SECRET = "a-secret-of-thirty-two-bytes-or-more"
ISSUER, AUDIENCE = "https://login.example", "freshet"

SERVE = ApiKey(
    key_id="0000000a",
    name="serve",
    digest=digest_of(text_of("0000000a", "serve-secret")),
    tier="standard",
    scopes=frozenset({"serve"}),
)
FEEDBACK = replace(
    SERVE,
    key_id="0000000b",
    digest=digest_of(text_of("0000000b", "feedback-secret")),
    scopes=frozenset({"feedback"}),
)
ADMIN = replace(
    SERVE,
    key_id="0000000c",
    digest=digest_of(text_of("0000000c", "admin-secret")),
    scopes=frozenset({"admin"}),
)
EXPIRED = replace(
    SERVE,
    key_id="0000000d",
    digest=digest_of(text_of("0000000d", "expired-secret")),
    expires_at=datetime(2020, 1, 1, tzinfo=UTC),
)
REVOKED = replace(
    SERVE,
    key_id="0000000e",
    digest=digest_of(text_of("0000000e", "revoked-secret")),
    revoked_at=datetime(2020, 1, 1, tzinfo=UTC),
)
KEYS = (SERVE, FEEDBACK, ADMIN, EXPIRED, REVOKED)


def guarded(directory: Path, **serving: Any) -> Settings:
    """Settings with a file of keys, users' tokens and an admin token."""
    file = directory / "keys.toml"
    write_keys(file, KEYS)
    asked = {
        "admin_token": ADMIN_TOKEN,
        "keys_file": str(file),
        "jwt_algorithm": "HS256",
        "jwt_secret": JWT_SECRET,
        "jwt_issuer": ISSUER,
        "jwt_audience": AUDIENCE,
        "jwt_leeway_s": 0,
        **serving,
    }
    return Settings.model_validate({"serving": asked})


def claims(user_id: str = "u1", **others: Any) -> dict[str, Any]:
    """What a good token says; a claim given as None is left out."""
    now = datetime.now(UTC)
    said = {
        "sub": user_id,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + timedelta(hours=1),
        **others,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(
    user_id: str = "u1", *, secret: str = JWT_SECRET, algorithm: str = "HS256", **others: Any
) -> str:
    """A user's token."""
    return jwt.encode(claims(user_id, **others), secret, algorithm=algorithm)


def bearer(credential: str) -> Mapping[str, str]:
    """The header that carries a key or a token."""
    return {"Authorization": f"Bearer {credential}"}


def every_kind() -> dict[str, Mapping[str, str]]:
    """The headers of each kind of caller; users' requests are of u1."""
    return {
        "anonymous": {},
        "bad key": bearer(text_of(SERVE.key_id, "wrong-secret")),
        "expired key": bearer(text_of(EXPIRED.key_id, "expired-secret")),
        "revoked key": bearer(text_of(REVOKED.key_id, "revoked-secret")),
        "serve key": bearer(text_of(SERVE.key_id, "serve-secret")),
        "feedback key": bearer(text_of(FEEDBACK.key_id, "feedback-secret")),
        "admin key": bearer(text_of(ADMIN.key_id, "admin-secret")),
        "own token": bearer(token("u1")),
        "other user's token": bearer(token("u2")),
        "token that claims admin": bearer(token("u1", scope="admin")),
        "bad token": bearer(token("u1", secret="b" * 36)),
        "admin token": bearer(ADMIN_TOKEN),
    }
