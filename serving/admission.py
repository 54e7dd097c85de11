"""Finds out who sends a request, by the one header that says so."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from secrets import compare_digest

from serving.callers import ADMIN, NOBODY, Caller, anybody
from serving.errors import ApiError
from serving.key_file import FollowedKeys, KeyFileError
from serving.keys import PREFIX, KeyRefusedError, recognised
from serving.tokens import TokenReader, TokenRefusedError, token_reader
from settings import Settings, SettingsError

REALM = 'Bearer realm="freshet"'


@dataclass(frozen=True, kw_only=True, eq=False)
class Admission:
    """Tells callers apart. Without keys and tokens the service is open: anybody is let in."""

    admin_token: str
    keys: FollowedKeys | None
    tokens: TokenReader | None
    anybody: Caller
    now: Callable[[], datetime]

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return self.keys is None and self.tokens is None

    def caller(self, authorization: str) -> Caller:
        """Who sent this Authorization header; a 401 where it is wrong, `NOBODY` where missing."""
        scheme, _, credential = authorization.partition(" ")
        sent = credential.strip() if scheme.lower() == "bearer" else ""
        if self._is_admin(sent):
            return ADMIN
        if self.is_open:
            return self.anybody
        if not sent:
            return NOBODY
        try:
            return self._recognised(sent)
        except (KeyRefusedError, TokenRefusedError) as error:
            raise unauthorized(str(error)) from error

    def _is_admin(self, sent: str) -> bool:
        """How much of a token is right can't be timed."""
        token = self.admin_token
        return bool(token) and compare_digest(sent.encode(), token.encode())

    def _recognised(self, sent: str) -> Caller:
        if self.keys is not None and (sent.startswith(PREFIX) or self.tokens is None):
            return recognised(sent, self.keys.current(), self.now()).caller()
        if self.tokens is None or sent.startswith(PREFIX):
            raise KeyRefusedError("no keys are taken here")
        return self.tokens.caller(sent)


def unauthorized(message: str) -> ApiError:
    """The 401 to a key or a token that isn't taken."""
    return ApiError(
        401,
        "unauthorized",
        message=message,
        hint="send Authorization: Bearer, and a key of `freshet key create` or a user's token",
        headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    )


def needs_key() -> ApiError:
    """The 401 to a request without any."""
    return ApiError(
        401,
        "unauthorized",
        message="the Authorization header has no key and no token",
        hint="send Authorization: Bearer, and a key of `freshet key create` or a user's token",
        headers={"WWW-Authenticate": REALM},
    )


def admission_of(settings: Settings) -> Admission:
    """What the settings say of callers, or `SettingsError`."""
    return Admission(
        admin_token=settings.serving.admin_token.get_secret_value(),
        keys=_keys(settings.serving.keys_file),
        tokens=token_reader(settings),
        anybody=anybody(settings.limits.open_tier or None),
        now=lambda: datetime.now(UTC),
    )


def _keys(file: str) -> FollowedKeys | None:
    if not file:
        return None
    try:
        return FollowedKeys(Path(file).expanduser(), clock_s=time.monotonic)
    except KeyFileError as error:
        raise SettingsError(f"serving.keys_file: {error}") from error


def refuse_if_exposed(admission: Admission, settings: Settings) -> None:
    """Raise `SettingsError` where anybody on the network could come in, and nobody said so."""
    serving = settings.serving
    if not admission.is_open or serving.allow_open or is_loopback(serving.host):
        return
    raise SettingsError(
        f"serving.host = {serving.host!r}: others can reach it, and no key is needed; set "
        "serving.keys_file or serving.jwt_algorithm, or serving.allow_open = true"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")]
    [True, True, True, False, False]
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
