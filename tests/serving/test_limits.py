"""How often callers may ask: by tier, endpoint and user, and what happens beyond."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import jsonschema
import pytest

from schemas.rate_limits import Limit
from serving.app import create_app
from serving.callers import anybody, of_key
from serving.limits import Limits, LocalCounting, claim_of
from settings import Settings
from stores.rate_limits import Claim
from tests.clock import Clock
from tests.serving.pretended import NOW_MS, Outside, count_of, known_user

ACTION = {"item_id": "mug-0", "action": "click"}


def settings(*, tier: str = "free", on_limit: str = "refuse", **limits: Any) -> Settings:
    """An open service, with the limits of a tier."""
    return Settings.model_validate(
        {"limits": {"open_tier": tier, **limits}, "serving": {"on_limit": on_limit}}
    )


@asynccontextmanager
async def serving(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def limits_of(outside: Outside) -> Limits:
    return outside.service().limits


async def ask(client: httpx.AsyncClient, user_id: str = "u1") -> httpx.Response:
    return await client.post("/v1/personalize", json={"user_id": user_id})


async def tell(client: httpx.AsyncClient, user_id: str = "u1") -> httpx.Response:
    return await client.post("/v1/feedback", json={"user_id": user_id, "feedback": [ACTION]})


@pytest.mark.parametrize(
    ("tier", "endpoint", "user", "total"),
    [
        ("premium", "personalize", 1_000, 100_000),
        ("premium", "feedback", 5_000, 500_000),
        ("premium", "explain", 100, 10_000),
        ("standard", "personalize", 100, 50_000),
        ("standard", "feedback", 500, 100_000),
        ("standard", "explain", 10, 5_000),
        ("free", "personalize", 10, 10_000),
        ("free", "feedback", 50, 20_000),
        ("free", "explain", 1, 1_000),
    ],
)
def test_the_limits_are_the_documents(tier: str, endpoint: Any, user: int, total: int) -> None:
    claim = claim_of(Settings(), tier, endpoint, "u1")
    assert (claim.user, claim.total) == (Limit(user, user), Limit(total, total))
    saved = claim_of(Settings.model_validate({"limits": {"burst_s": 3}}), tier, endpoint, "u1")
    assert (saved.user, saved.total) == (Limit(user, 3 * user), Limit(total, 3 * total))


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    outside = Outside(settings=settings())
    async with serving(outside) as client:
        first = await ask(client)
        assert [first.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == [
            *("10", "9", "1")
        ]
        passed = [(await ask(client)).status_code for _ in range(9)]
        refused = await ask(client)
        assert (passed, refused.status_code) == ([200] * 9, 429)
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit-remaining"] == "0"
        error = refused.json()["error"]
        assert error["code"] == "rate_limited"
        assert error["message"] == "more than 10 requests a second of one user"
        schema = (await client.get("/openapi.json")).json()
        responses = schema["paths"]["/v1/personalize"]["post"]["responses"]
        promised = responses["429"]["content"]["application/json"]["schema"]
        jsonschema.validate(refused.json(), {**promised, "components": schema["components"]})
        assert (await ask(client, "u2")).status_code == 200
        assert (await tell(client)).headers["ratelimit-limit"] == "50"
        assert count_of(outside.metrics, "freshet_errors_total", code="rate_limited") == 1


async def test_a_refused_request_reaches_no_stage_and_no_log() -> None:
    outside = Outside(settings=settings())
    async with serving(outside) as client:
        for _ in range(51):
            told = await tell(client)
        assert told.status_code == 429
        assert outside.memory.calls == 2 * 50
        for _ in range(11):
            await ask(client)
        assert outside.online.calls == 10


async def test_beyond_the_limit_a_list_may_be_of_what_is_at_hand() -> None:
    outside = Outside(settings=settings(on_limit="degrade"))
    outside.online.users["u1"] = known_user()
    async with serving(outside) as client:
        for _ in range(10):
            assert (await ask(client)).json()["metadata"]["fallbacks"] == []
        calls = (outside.online.calls, outside.vectors.calls, outside.ranker.calls)
        degraded = await ask(client)
        assert degraded.status_code == 200
        assert "admit:rate_limited" in degraded.json()["metadata"]["fallbacks"]
        assert len(degraded.json()["items"]) == 6
        assert degraded.headers["ratelimit-remaining"] == "0"
        assert (outside.online.calls, outside.vectors.calls, outside.ranker.calls) == calls
        name = "freshet_fallbacks_total"
        assert count_of(outside.metrics, name, fallback="admit:rate_limited") == 1


async def test_feedback_beyond_the_limit_is_refused_even_then() -> None:
    async with serving(Outside(settings=settings(on_limit="degrade"))) as client:
        assert [(await tell(client)).status_code for _ in range(51)][-1] == 429


async def test_a_total_is_named_as_such() -> None:
    few = settings().limits.free.model_copy(update={"personalize_total": 3})
    outside = Outside(settings=settings(free=few.model_dump()))
    async with serving(outside) as client:
        for number in range(3):
            assert (await ask(client, f"u{number}")).status_code == 200
        refused = await ask(client, "u9")
        assert refused.headers["ratelimit-limit"] == "3"
        assert "3 requests a second of all free callers" in refused.json()["error"]["message"]


async def test_where_no_tier_is_set_nothing_is_counted() -> None:
    outside = Outside(settings=settings(tier=""))
    async with serving(outside) as client:
        answers = [await ask(client) for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200}
        assert not any(name.startswith("ratelimit") for name in answers[0].headers)
    assert outside.limits.calls == 0


async def test_explanations_have_a_limit_of_their_own_and_are_refused_beyond_it() -> None:
    outside = Outside(settings=settings(on_limit="degrade"))
    asked = {"user_id": "u1", "item_id": "mug-0"}
    async with serving(outside) as client:
        first = await client.post("/v1/explain", json=asked)
        assert (first.status_code, first.headers["ratelimit-limit"]) == (200, "1")
        calls = outside.traces.calls
        refused = await client.post("/v1/explain", json=asked)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert outside.traces.calls == calls
        assert (await client.post("/v1/explain", json={**asked, "user_id": "u2"})).is_success
        assert (await ask(client)).status_code == 200


async def test_each_tier_has_its_own() -> None:
    limits = limits_of(Outside())
    free, premium = of_key("free", ["serve"]), of_key("premium", ["serve"])
    answers = [(await limits.check(free, "explain", "u1")).allowed for _ in range(3)]
    assert answers == [True, False, False]
    assert all([(await limits.check(premium, "explain", "u1")).allowed for _ in range(100)])
    assert not (await limits.check(premium, "explain", "u1")).allowed


async def test_without_redis_each_process_counts_for_itself() -> None:
    outside = Outside(settings=settings())
    outside.limits.away = True
    async with serving(outside) as client:
        answers = [(await tell(client)).status_code for _ in range(60)]
        assert answers.count(202) >= 50
        assert answers[-1] == 429
        name = "freshet_fallbacks_total"
        assert count_of(outside.metrics, name, fallback="limits:redis_unavailable") == 60


async def test_an_open_service_without_a_tier_needs_no_redis_for_its_limits() -> None:
    outside = Outside()
    outside.limits.away = True
    decision = await limits_of(outside).check(anybody(None), "personalize", "u1")
    assert (decision.allowed, decision.headers) == (True, {})


CLAIM = Claim("free", "personalize", "u1", Limit(10, 10), Limit(15, 15))


def test_local_counting_refills() -> None:
    clock = Clock()
    clock.now = NOW_MS
    local = LocalCounting(now_ms=lambda: int(clock()))
    assert sum(local.take(CLAIM).allowed for _ in range(20)) == 10
    assert sum(local.take(replace(CLAIM, user_id="u2")).allowed for _ in range(20)) == 5
    clock.now += 1_000
    assert sum(local.take(CLAIM).allowed for _ in range(20)) == 1
    clock.now += 100
    assert sum(local.take(CLAIM).allowed for _ in range(20)) == 9


def test_local_counting_forgets_who_asked_longest_ago() -> None:
    local = LocalCounting(now_ms=lambda: NOW_MS, capacity=3)
    wide = replace(CLAIM, user=Limit(1, 1), total=Limit(100, 100))
    assert local.take(wide).allowed
    assert not local.take(wide).allowed
    assert local.take(replace(wide, user_id="u2")).allowed
    assert not local.take(wide).allowed
    assert local.take(replace(wide, user_id="u3")).allowed
    assert local.take(wide).allowed
    assert len(local._usages) == 3
