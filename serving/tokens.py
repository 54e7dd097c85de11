"""Users' tokens: signed by somebody else (JWT), checked here."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import jwt
from cachetools import TLRUCache
from jwt.exceptions import InvalidSubjectError

from schemas.collections import ID_MAX_LENGTH
from serving.callers import USER_SCOPES, Caller, Tier, of_user
from settings import Settings, SettingsError
from settings.model import ServingSettings

DEFAULT_TIER: Tier = "free"
REQUIRED = ["exp", "iss", "aud", "sub"]


class TokenRefusedError(Exception):
    """A token isn't taken; the message is for whoever sent it."""


# What a client is told. The first kind that fits counts, so the special ones stand first.
SAID: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidAlgorithmError, "the token is not signed with the algorithm that is taken here"),
    (jwt.InvalidSignatureError, "the token's signature is wrong"),
    (jwt.MissingRequiredClaimError, "the token lacks one of the claims exp, iss, aud, sub"),
    (InvalidSubjectError, "the token's sub is no text"),
    (jwt.PyJWTError, "it is no token that can be read, nor a key"),
)

# What strangers write can also be nested too deep, and claims can be numbers without an end.
UNREADABLE = (jwt.PyJWTError, RecursionError, OverflowError, ValueError)


@dataclass(frozen=True, kw_only=True)
class TokenReader:
    """Checks tokens of one issuer, signed with one algorithm.

    The algorithm is never taken from the token: else a public key could be passed off as a secret.
    Good tokens are remembered by a digest, `kept` of them, and none for longer than it is valid; a
    reader with another key remembers nothing of this one.
    """

    algorithm: str
    key: Any = field(repr=False)
    issuer: str = ""
    audience: str = ""
    leeway_s: float = 0
    kept: int = 0
    clock: Callable[[], float] = time.time

    def caller(self, token: str) -> Caller:
        """The user whose token this is, or `TokenRefusedError`."""
        if not self.kept:
            return caller_of(self._claims(token))
        digest = sha256(token.encode(errors="surrogatepass")).digest()
        remembered = self._remembered.get(digest)
        return remembered.caller if remembered else self._checked(token, digest)

    def _checked(self, token: str, digest: bytes) -> Caller:
        claims = self._claims(token)
        caller = caller_of(claims)
        self._remembered[digest] = _Remembered(caller, int(claims["exp"]) + self.leeway_s)
        return caller

    @cached_property
    def _remembered(self) -> "TLRUCache[bytes, _Remembered]":
        return TLRUCache(self.kept, ttu=_until, timer=self.clock)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.key,
                algorithms=[self.algorithm],
                issuer=self.issuer,
                audience=self.audience,
                leeway=self.leeway_s,
                options={"require": REQUIRED},
            )
        except UNREADABLE as error:
            raise TokenRefusedError(_said(error)) from error
        return claims


@dataclass(frozen=True, slots=True)
class _Remembered:
    caller: Caller
    until: float


def _until(_digest: bytes, remembered: _Remembered, _now: float) -> float:
    return remembered.until


def _said(error: Exception) -> str:
    return next((text for kind, text in SAID if isinstance(error, kind)), SAID[-1][1])


def caller_of(claims: dict[str, Any]) -> Caller:
    """The user of whom checked claims speak.

    Scopes of other services are passed over, `admin` is too; a token that names none has those of
    a user.

    >>> caller_of({"sub": "u1", "scope": "openid feedback"}).scopes
    frozenset({'feedback'})
    """
    user_id, tier = claims["sub"], claims.get("tier", DEFAULT_TIER)
    if not 1 <= len(user_id.encode(errors="replace")) <= ID_MAX_LENGTH:
        raise TokenRefusedError(f"the token's sub must have 1 to {ID_MAX_LENGTH} bytes")
    if tier not in get_args(Tier):
        raise TokenRefusedError(f"the token's tier must be one of {', '.join(get_args(Tier))}")
    named = claims.get("scope")
    if named is not None and not isinstance(named, str):
        raise TokenRefusedError("the token's scope must be text, with blanks between scopes")
    wanted = USER_SCOPES if named is None else USER_SCOPES.intersection(named.split())
    return of_user(user_id, tier, wanted)


def token_reader(settings: Settings) -> TokenReader | None:
    """What the settings say of tokens, None where they are not taken."""
    serving = settings.serving
    if not serving.jwt_algorithm:
        return None
    for name in ("jwt_issuer", "jwt_audience"):
        if not getattr(serving, name):
            raise SettingsError(f"serving.{name} is empty: a token of anybody's would be taken")
    return TokenReader(
        algorithm=serving.jwt_algorithm,
        key=_secret(serving) if serving.jwt_algorithm.startswith("HS") else _public_key(serving),
        issuer=serving.jwt_issuer,
        audience=serving.jwt_audience,
        leeway_s=serving.jwt_leeway_s,
        kept=serving.jwt_kept,
    )


def _secret(serving: ServingSettings) -> str:
    """The shared secret; one shorter than the digest could be tried out (RFC 7518, 3.2)."""
    secret, least = serving.jwt_secret.get_secret_value(), int(serving.jwt_algorithm[2:]) // 8
    if serving.jwt_public_key:
        raise SettingsError(
            f"serving.jwt_public_key is set, but {serving.jwt_algorithm} has a secret: "
            "set serving.jwt_secret instead"
        )
    if len(secret.encode()) < least:
        raise SettingsError(
            f"serving.jwt_secret has {len(secret.encode())} bytes; {serving.jwt_algorithm} needs "
            f"{least} random ones at least"
        )
    return secret


def _public_key(serving: ServingSettings) -> Any:
    """The key, read once: that costs as much as to check a signature."""
    algorithm, file = serving.jwt_algorithm, serving.jwt_public_key
    if serving.jwt_secret.get_secret_value():
        raise SettingsError(
            f"serving.jwt_secret is set, but {algorithm} has a public key: "
            "set serving.jwt_public_key instead"
        )
    try:
        pem = Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"serving.jwt_public_key = {file!r}: can't be read: {error}") from error
    return _parsed(pem, algorithm, file)


def _parsed(pem: str, algorithm: str, file: str) -> Any:
    """Refuse a private key, which has no business here, and one of another kind."""
    if "PRIVATE KEY" in pem:
        raise SettingsError(f"serving.jwt_public_key = {file!r}: is a private key; give the public")
    try:
        return jwt.get_algorithm_by_name(algorithm).prepare_key(pem)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise SettingsError(
            f"serving.jwt_public_key = {file!r}: is no key for {algorithm}: {error}"
        ) from error
