import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import redis

from domain.rate_limits import Usage, at, room, spent
from schemas.rate_limits import Limit
from stores.errors import StoreUnavailable
from stores.rate_limits import Claim, RateLimitStore

pytestmark = pytest.mark.e2e

NOW_MS = 1_800_000_000_000
MANY = Limit(100_000, 100_000)
FREE = Claim("free", "personalize", "u1", Limit(10, 10), MANY)
PREMIUM = replace(FREE, tier="premium", user=Limit(40, 40))


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[RateLimitStore]:
    async with RateLimitStore(redis_url, timeout_ms=5_000) as opened:
        yield opened


async def granted(limits: RateLimitStore, claim: Claim, times: int, now_ms: int) -> int:
    answers = [await limits.take(claim, now_ms=now_ms) for _ in range(times)]
    return sum(answer.allowed for answer in answers)


async def test_a_burst_passes_and_then_nothing_until_it_is_refilled(
    limits: RateLimitStore,
) -> None:
    claim = replace(FREE, user=Limit(10, 20))
    assert await granted(limits, claim, 30, NOW_MS) == 20
    assert await granted(limits, claim, 30, NOW_MS + 999) == 0
    assert await granted(limits, claim, 30, NOW_MS + 1_100) == 11
    assert await granted(limits, claim, 30, NOW_MS + 1_200) == 1
    assert await granted(limits, claim, 30, NOW_MS + 10_000) == 20


async def test_a_burst_at_the_end_of_a_second_leaves_no_room_in_the_next(
    limits: RateLimitStore,
) -> None:
    assert await granted(limits, FREE, 20, NOW_MS + 990) == 10
    assert await granted(limits, FREE, 20, NOW_MS + 1_010) == 0
    assert await granted(limits, FREE, 20, NOW_MS + 1_899) == 0
    assert await granted(limits, FREE, 20, NOW_MS + 1_900) == 1
    assert await granted(limits, FREE, 20, NOW_MS + 2_000) == 9


async def test_who_is_refused_learns_what_is_left_and_when(limits: RateLimitStore) -> None:
    first = await limits.take(FREE, now_ms=NOW_MS)
    assert (first.allowed, first.user.left, first.user.full_ms) == (True, 9, 100)
    await granted(limits, FREE, 9, NOW_MS)
    refused = await limits.take(FREE, now_ms=NOW_MS + 400)
    assert (refused.allowed, refused.user.left, refused.user.wait_ms) == (False, 0, 600)
    assert refused.total.left == 99_990


async def test_users_tiers_and_endpoints_dont_meet(limits: RateLimitStore) -> None:
    assert await granted(limits, FREE, 20, NOW_MS) == 10
    assert await granted(limits, replace(FREE, user_id="u2"), 20, NOW_MS) == 10
    assert await granted(limits, replace(FREE, endpoint="feedback"), 20, NOW_MS) == 10
    assert await granted(limits, PREMIUM, 60, NOW_MS) == 40


async def test_all_users_of_a_tier_share_its_total(limits: RateLimitStore) -> None:
    tight = replace(FREE, total=Limit(15, 15))
    assert await granted(limits, tight, 20, NOW_MS) == 10
    assert await granted(limits, replace(tight, user_id="u2"), 20, NOW_MS) == 5
    refused = await limits.take(replace(tight, user_id="u3"), now_ms=NOW_MS)
    assert (refused.allowed, refused.user.left, refused.total.left) == (False, 10, 0)
    assert refused.total.wait_ms == 1_000
    assert await granted(limits, replace(tight, tier="premium"), 20, NOW_MS) == 10


async def test_who_is_refused_spends_nothing(limits: RateLimitStore) -> None:
    tight = replace(FREE, total=Limit(12, 12))
    await granted(limits, FREE, 0, NOW_MS)
    assert await granted(limits, tight, 500, NOW_MS) == 10
    assert (await limits.take(replace(tight, user_id="u2"), now_ms=NOW_MS)).total.left == 1


async def test_many_at_once_from_several_clients_get_exactly_the_burst(redis_url: str) -> None:
    async with AsyncExitStack() as closing:
        clients = [
            await closing.enter_async_context(RateLimitStore(redis_url, timeout_ms=10_000))
            for _ in range(4)
        ]
        checks = [clients[at % 4].take(PREMIUM, now_ms=NOW_MS) for at in range(200)]
        answers = await asyncio.gather(*checks)
    assert sum(answer.allowed for answer in answers) == 40


async def test_it_counts_as_the_domain_does(limits: RateLimitStore) -> None:
    chance, now_ms = Random(7), NOW_MS
    claim = replace(FREE, user=Limit(13, 17), total=Limit(11, 19))
    user: Usage | None = None
    total: Usage | None = None
    for _ in range(600):
        now_ms += chance.choice((0, 0, 1, 30, 77, 100, 400)) - (chance.random() < 0.02) * 50
        of_user, of_all = at(user, claim.user, now_ms), at(total, claim.total, now_ms)
        allowed = room(of_user, claim.user).left >= 1 and room(of_all, claim.total).left >= 1
        if allowed:
            user, total = of_user, of_all = spent(of_user), spent(of_all)
        told = await limits.take(claim, now_ms=now_ms)
        assert told.allowed == allowed
        for counted, usage, limit in (
            (told.user, of_user, claim.user),
            (told.total, of_all, claim.total),
        ):
            expected = room(usage, limit)
            assert (counted.left, counted.wait_ms, counted.full_ms) == pytest.approx(
                (expected.left, expected.wait_ms, expected.full_ms), abs=1e-6
            )


async def test_the_servers_clock_holds_unless_a_time_is_given(limits: RateLimitStore) -> None:
    slow = replace(FREE, user=Limit(1, 1))
    assert (await limits.take(slow)).allowed
    refused = await limits.take(slow)
    assert not refused.allowed
    await asyncio.sleep(refused.user.wait_ms / 1_000 + 0.05)
    assert (await limits.take(slow)).allowed


async def test_keys_are_forgotten_after_their_time(
    limits: RateLimitStore, client: "redis.Redis"
) -> None:
    await limits.take(FREE)
    names: Any = client.keys("*")
    assert sorted(names) == [b"limit:free:personalize:u1", b"limit_total:free:personalize"]
    for name in names:
        lifetime: Any = client.ttl(name)
        assert 8 <= lifetime <= 10


async def test_a_server_that_lost_its_scripts_is_given_them_again(
    limits: RateLimitStore, client: "redis.Redis"
) -> None:
    for _ in range(2):
        client.script_flush()
        assert (await limits.take(FREE, now_ms=NOW_MS)).allowed
    assert (await limits.take(FREE, now_ms=NOW_MS)).user.left == 7


async def test_a_check_is_one_command(limits: RateLimitStore, client: "redis.Redis") -> None:
    await limits.take(FREE)
    stats: Any = client.info("commandstats")
    before = stats["cmdstat_evalsha"]["calls"]
    await granted(limits, FREE, 5, NOW_MS)
    stats = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] - before == 5


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with RateLimitStore("redis://127.0.0.1:9", timeout_ms=200) as limits:
        with pytest.raises(StoreUnavailable):
            await limits.take(FREE)
