"""Counts requests where all services that use one Redis count together."""

from dataclasses import dataclass
from hashlib import sha1
from math import isfinite
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from schemas.rate_limits import Limit, Room
from schemas.redis_keys import RATE_LIMIT, RATE_LIMIT_TOTAL
from stores.errors import read_from
from stores.redis_server import STORE, RedisReader

SOURCE = (Path(__file__).parent / "lua" / "limit.lua").read_text("utf-8")
# The server's name for the script; no secret hangs on it.
DIGEST = sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Counted:
    """Whether a request may pass, and what is left to its user and to all."""

    allowed: bool
    user: Room
    total: Room


@dataclass(frozen=True, slots=True)
class Claim:
    """A request of a user at an endpoint, and the limits of its tier."""

    tier: str
    endpoint: str
    user_id: str
    user: Limit
    total: Limit


class RateLimitStore(RedisReader):
    """Counts in one round trip, within its time or `StoreUnavailable`."""

    async def take(self, claim: Claim, *, now_ms: int | None = None) -> Counted:
        """Count a request if it may pass; the server's clock holds unless a time is given."""
        command = (2, *_keys(claim), *_arguments(claim, now_ms))
        async with self._asking() as pipeline:
            pipeline.evalsha(DIGEST, *command)
            try:
                (told,) = await pipeline.execute()
            except NoScriptError:
                pipeline.eval(SOURCE, *command)
                (told,) = await pipeline.execute()
        return _counted(told)


def _keys(claim: Claim) -> tuple[str, str]:
    return (
        RATE_LIMIT.of(claim.tier, claim.endpoint, claim.user_id),
        RATE_LIMIT_TOTAL.of(claim.tier, claim.endpoint),
    )


def _arguments(claim: Claim, now_ms: int | None) -> tuple[Any, ...]:
    return (
        "" if now_ms is None else now_ms,
        RATE_LIMIT.ttl_s,
        *(claim.user.rate, claim.user.burst),
        *(claim.total.rate, claim.total.burst),
    )


def _counted(told: list[Any]) -> Counted:
    with read_from(STORE):
        numbers = [float(text) for text in told[1:]]
        if not all(map(isfinite, numbers)):
            raise ValueError(f"limits of {numbers}")
        return Counted(bool(told[0]), Room(*numbers[:3]), Room(*numbers[3:]))
