"""How often each caller may ask: counted in Redis, or in this process while Redis is away."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal, Protocol

from domain.rate_limits import Usage, at, room, spent, whole
from schemas.rate_limits import Limit, Room
from serving.breaker import Breaker, DependencyUnavailableError
from serving.callers import Caller
from serving.errors import ApiError
from serving.metrics import Metrics
from settings import Settings
from stores.rate_limits import Claim, Counted

Endpoint = Literal["personalize", "feedback", "explain"]

# Usages kept while Redis is away; who is left out for others begins with a full bucket again.
LOCAL_USAGES = 10_000


class Counting(Protocol):
    """Counts requests."""

    async def take(self, claim: Claim) -> Counted:
        """Count a request if it may pass."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a request is answered, and how much its caller may still ask.

    `degrade` means: don't refuse, answer with what costs nothing.
    """

    allowed: bool = True
    degrade: bool = False
    limit: int | None = None
    room: Room | None = None
    whose: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What the caller is told of its limit; nothing where there is none."""
        if self.limit is None or self.room is None:
            return {}
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(whole(self.room.left)),
            "RateLimit-Reset": str(_seconds(self.room.full_ms)),
        }

    def refusal(self) -> ApiError:
        """The 429."""
        assert self.room is not None
        wait_s = max(1, _seconds(self.room.wait_ms))
        return ApiError(
            429,
            "rate_limited",
            message=f"more than {self.limit} requests a second of {self.whose}",
            hint=f"wait {wait_s} s, then send less often; RateLimit-Remaining says what is left",
            headers={"Retry-After": str(wait_s), **self.headers},
        )


UNLIMITED = Decision()


def _seconds(ms: float) -> int:
    return ceil(ms / 1_000)


class LocalCounting:
    """Counts what passes through this process alone, so that each one has the whole limit."""

    def __init__(self, *, now_ms: Callable[[], int], capacity: int = LOCAL_USAGES) -> None:
        self._now_ms = now_ms
        self._capacity = capacity
        self._usages: OrderedDict[tuple[str, ...], Usage] = OrderedDict()

    def take(self, claim: Claim) -> Counted:
        """Count a request if it may pass."""
        now_ms = self._now_ms()
        total_key = (claim.tier, claim.endpoint)
        user_key = (*total_key, claim.user_id)
        user = at(self._usages.get(user_key), claim.user, now_ms)
        total = at(self._usages.get(total_key), claim.total, now_ms)
        allowed = room(user, claim.user).left >= 1 and room(total, claim.total).left >= 1
        if allowed:
            user, total = spent(user), spent(total)
            self._keep(user_key, user)
            self._keep(total_key, total)
        return Counted(allowed, room(user, claim.user), room(total, claim.total))

    def _keep(self, key: tuple[str, ...], usage: Usage) -> None:
        self._usages[key] = usage
        self._usages.move_to_end(key)
        if len(self._usages) > self._capacity:
            self._usages.popitem(last=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Decides by tier and endpoint, of each user and of all together."""

    counting: Counting
    local: LocalCounting
    breaker: Breaker
    metrics: Metrics
    settings: Settings

    async def check(self, caller: Caller, endpoint: Endpoint, user_id: str) -> Decision:
        """What becomes of a request; it counts if it may pass."""
        if caller.tier is None:
            return UNLIMITED
        claim = claim_of(self.settings, caller.tier, endpoint, user_id)
        return self._decided(claim, await self._count(claim))

    async def admit(self, caller: Caller, endpoint: Endpoint, user_id: str) -> Decision:
        """The same, with the 429 raised where nothing is to be answered."""
        decision = await self.check(caller, endpoint, user_id)
        if decision.allowed or decision.degrade:
            return decision
        raise decision.refusal()

    async def _count(self, claim: Claim) -> Counted:
        try:
            return await self.breaker.call(
                lambda: self.counting.take(claim),
                timeout_s=self.settings.redis.timeout_ms / 1_000,
            )
        except DependencyUnavailableError as error:
            self.metrics.fallbacks.labels(f"limits:{error.dependency}_unavailable").inc()
            return self.local.take(claim)

    def _decided(self, claim: Claim, counted: Counted) -> Decision:
        of_all = counted.total.left < counted.user.left
        limit, left = (claim.total, counted.total) if of_all else (claim.user, counted.user)
        degrade = self.settings.serving.on_limit == "degrade" and claim.endpoint == "personalize"
        return Decision(
            allowed=counted.allowed,
            degrade=degrade and not counted.allowed,
            limit=round(limit.rate),
            room=left,
            whose=f"all {claim.tier} callers" if of_all else "one user",
        )


def claim_of(settings: Settings, tier: str, endpoint: Endpoint, user_id: str) -> Claim:
    """What a request counts against.

    >>> claim_of(Settings(), "free", "explain", "u1").total.rate
    1000
    """
    table = getattr(settings.limits, tier)
    burst_s = settings.limits.burst_s
    user, total = getattr(table, endpoint), getattr(table, f"{endpoint}_total")
    return Claim(
        tier, endpoint, user_id, Limit(user, user * burst_s), Limit(total, total * burst_s)
    )
