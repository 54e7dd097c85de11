"""The service on real servers, all of them up."""

import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bench.seeding import Shop
from schemas.topics import PERSONALIZATION_RESULTS, USER_EVENTS, Topic
from schemas.types import Impression, UserEvent
from settings import Settings
from stack.local import LocalStack
from stores.event_log import read
from stores.online import OnlineWriter
from stores.redis_server import connect
from stores.vectors import VectorWriter
from tests.stores.records import user_snapshot

pytestmark = pytest.mark.e2e

WAIT_S = 10


async def ask(client: httpx.AsyncClient, user_id: str, **parts: Any) -> dict[str, Any]:
    answer = await client.post("/v1/personalize", json={"user_id": user_id, **parts})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def in_the_log(settings: Settings, topic: Topic, request_id: str) -> list[Any]:
    """The records of a request, once they are there."""
    give_up = time.monotonic() + WAIT_S
    while True:
        records = [
            message.record(topic.record) for message in read(settings.kafka.bootstrap, [topic])
        ]
        found = [one for one in records if getattr(one, "request_id", None) == request_id]
        if found or time.monotonic() > give_up:
            return found


async def test_a_known_user_gets_what_is_like_what_they_met(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    body = await ask(
        client,
        "u00001",
        constraints={"count": 10},
        options={
            "include_explanation": True,
            "exploration_rate": 0,
            "diversity_weight": 0,
        },
    )
    meta = body["metadata"]
    assert meta["fallbacks"] == []
    assert meta["model_version"] == "ranker:1"
    assert (meta["versions"]["user"], meta["cold_start"]) == (30, False)
    assert [one["metadata"]["category"] for one in body["items"]] == ["lamps"] * 10
    assert {one["source"] for one in body["items"]} & {"collaborative", "content"}
    assert all("you" in one["explanation"]["primary_reason"] for one in body["items"])


async def test_the_model_server_scores_as_the_prior_does(client: httpx.AsyncClient) -> None:
    body = await ask(client, "u00002", options={"exploration_rate": 0})
    scores = [one["score"] for one in body["items"]]
    assert len(set(scores)) > 10
    assert all(0 < score < 1 for score in scores)


async def test_an_unknown_user_gets_the_cold_start(client: httpx.AsyncClient) -> None:
    body = await ask(client, "nobody", options={"exploration_rate": 0})
    assert body["metadata"]["cold_start"] is True
    assert body["metadata"]["fallbacks"] == []
    assert {one["source"] for one in body["items"]} == {"popular", "trending", "exploration"}


async def test_limits_hold(client: httpx.AsyncClient) -> None:
    plain = await ask(client, "u00001", constraints={"count": 20})
    excluded = [one["item_id"] for one in plain["items"]][:5]
    constraints = {
        "count": 50,
        "categories": ["lamps", "mugs"],
        "exclude_items": excluded,
        "price_range": {"min": 2, "max": 5},
    }
    for user_id in ("u00001", "nobody"):
        body = await ask(client, user_id, constraints=constraints)
        assert body["items"]
        for one in body["items"]:
            assert one["metadata"]["category"] in {"lamps", "mugs"}
            assert 2 <= one["metadata"]["price"] <= 5
            assert one["item_id"] not in excluded


async def test_the_impression_is_logged_with_the_chance_of_each_place(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    body = await ask(client, "u00003", options={"exploration_rate": 0.5})
    (seen,) = in_the_log(servers.settings, PERSONALIZATION_RESULTS, body["request_id"])
    assert isinstance(seen, Impression)
    assert [one.item_id for one in seen.items] == [one["item_id"] for one in body["items"]]
    assert all(0 < one.propensity <= 1 for one in seen.items)
    assert seen.exploration_rate == pytest.approx(0.5)


async def test_a_remembered_ranking_ends_with_the_users_next_event(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    first, again = [await ask(client, "u00006") for _ in range(2)]
    assert [body["metadata"]["cache_hit"] for body in (first, again)] == [False, True]
    version = again["metadata"]["versions"]["user"]
    redis = connect(servers.settings.redis.url)
    try:
        OnlineWriter(redis).write_users([user_snapshot("u00006", version + 1)])
    finally:
        redis.close()
    after = (await ask(client, "u00006"))["metadata"]
    assert (after["cache_hit"], after["versions"]["user"]) == (False, version + 1)


async def test_feedback_is_in_the_log_once_however_often_it_is_sent(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    body = {
        "user_id": "u00004",
        "request_id": "feedback-once",
        "feedback": [
            {"item_id": "i00001", "action": "click", "position": 1},
            {"item_id": "i00002", "action": "add_to_cart"},
        ],
    }
    headers = {"Idempotency-Key": "once"}
    answers = [await client.post("/v1/feedback", json=body, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["processed"] == 2
    without_key = await client.post("/v1/feedback", json=body)
    assert without_key.json()["duplicates"] == 2
    other = await client.post(
        "/v1/feedback", json={**body, "request_id": "another"}, headers=headers
    )
    assert other.status_code == 409

    events = in_the_log(servers.settings, USER_EVENTS, "feedback-once")
    assert sorted(event.event_type for event in events) == ["add_to_cart", "click"]
    assert all(isinstance(event, UserEvent) for event in events)
    assert {event.user_id for event in events} == {"u00004"}


async def test_a_new_item_is_shown_and_a_deleted_one_is_not(
    client: httpx.AsyncClient, servers: LocalStack, shop: Shop
) -> None:
    settings = servers.settings
    template = shop.items[1]
    assert template.catalog is not None
    new = replace(
        template, item_id="new", catalog=replace(template.catalog, item_id="new", price=77.0)
    )
    redis = connect(settings.redis.url)
    try:
        with VectorWriter(settings.milvus.uri) as vectors:
            OnlineWriter(redis).write_items([new])
            vectors.upsert_items([new])
            assert await is_shown(client, "new", wanted=True)
            gone = replace(new, version=2, deleted=True, catalog=None, vector=None, unified=None)
            OnlineWriter(redis).write_items([gone])
            vectors.upsert_items([gone])
            assert await is_shown(client, "new", wanted=False)
    finally:
        redis.close()


async def is_shown(client: httpx.AsyncClient, item_id: str, *, wanted: bool) -> bool:
    """Whether an item is, or is not, in the answers before long."""
    dear = {"price_range": {"min": 77, "max": 77}}
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        body = await ask(client, "u00001", constraints=dear)
        if (item_id in {one["item_id"] for one in body["items"]}) == wanted:
            return True
    return False
