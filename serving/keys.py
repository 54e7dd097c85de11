"""API keys: made, kept as digests, and recognised.

A key is `fk_<id>_<secret>`. The secret has 256 random bits, so a fast digest is enough: nobody can
try them out, unlike passwords, for which slow ones were made, and a slow one would cost each
request milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

from serving.callers import Caller, Scope, Tier, of_key

PREFIX = "fk_"
ID_BYTES = 4
SECRET_BYTES = 32


class KeyRefusedError(Exception):
    """A key isn't taken; the message is for whoever sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key: never its secret."""

    key_id: str
    name: str
    digest: str
    tier: Tier
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def caller(self) -> Caller:
        """Whoever has this key."""
        return of_key(self.tier, self.scopes)

    def refusal(self, now: datetime) -> str:
        """Why it isn't taken any more, "" if it is."""
        if self.revoked_at:
            return f"the key {self.key_id} was revoked"
        if self.expires_at and self.expires_at <= now:
            return f"the key {self.key_id} ended at {self.expires_at.isoformat()}"
        return ""


def text_of(key_id: str, secret: str) -> str:
    """A key as a client sends it.

    >>> text_of("0a1b2c3d", "secret")
    'fk_0a1b2c3d_secret'
    """
    return f"{PREFIX}{key_id}_{secret}"


def digest_of(text: str) -> str:
    """What is kept of a key.

    >>> digest_of("fk_0a1b2c3d_secret")[:8]
    'a7865c24'
    """
    return sha256(text.encode()).hexdigest()


def recognised(text: str, keys: Mapping[str, ApiKey], now: datetime) -> ApiKey:
    """The key that a client sent, or `KeyRefusedError`; how much of it is right can't be timed."""
    key_id, _, _ = text.removeprefix(PREFIX).partition("_")
    key = keys.get(key_id)
    if key is None or not compare_digest(digest_of(text), key.digest):
        raise KeyRefusedError("the key is not known here")
    if said := key.refusal(now):
        raise KeyRefusedError(said)
    return key
