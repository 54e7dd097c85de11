"""Document 001's endpoints on real servers."""

import time
from typing import Any

import httpx
import pytest

from bench.seeding import Shop
from schemas.topics import PERSONALIZATION_RESULTS, USER_EVENTS
from schemas.types import Impression, ItemNeighbors
from stack.local import LocalStack
from stores.neighbors import NeighborsWriter
from stores.online import OnlineWriter
from stores.redis_server import connect
from tests.e2e.service.test_personalize import in_the_log

pytestmark = pytest.mark.e2e


async def ask(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code in {200, 202}, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_known_user_gets_what_is_like_what_they_met(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    body = await ask(
        client,
        "/v1/recommendations",
        user_id="u00001",
        num_items=10,
        diversity_settings={"category_diversity": 0.0},
    )
    said = body["metadata"]
    assert (said["fallbacks"], said["model_version"]) == ([], "ranker:1")
    assert said["versions"]["user"] == 30
    places = body["recommendations"]
    assert [one["rank"] for one in places] == list(range(1, 11))
    assert sum(one["metadata"]["category"] == "lamps" for one in places) >= 8
    assert any(one["explanation"]["source_items"] for one in places)
    (seen,) = in_the_log(servers.settings, PERSONALIZATION_RESULTS, body["request_id"])
    assert isinstance(seen, Impression)
    assert [one.item_id for one in seen.items] == [one["item_id"] for one in places]
    assert seen.exploration_rate == pytest.approx(0.05)


async def test_what_is_alike_comes_from_the_vector_store(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    body = await ask(
        client, "/v1/similar", item_id="i00001", num_items=10, similarity_type="content"
    )
    assert body["metadata"]["fallbacks"] == []
    nearest = shop.vectors @ shop.vectors[1]
    expected = [shop.items[place].item_id for place in (-nearest).argsort()[1:11]]
    assert [one["item_id"] for one in body["similar_items"]] == expected
    scores = [one["similarity_score"] for one in body["similar_items"]]
    assert scores == pytest.approx(sorted(nearest, reverse=True)[1:11], abs=1e-3)
    assert body["similar_items"][0]["common_attributes"] == ["category:lamps"]


async def test_what_is_met_together_comes_from_the_neighbours(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    now_ms = time.time_ns() // 1_000_000
    redis = connect(servers.settings.redis.url)
    try:
        NeighborsWriter(OnlineWriter(redis)).write(
            [
                ItemNeighbors(
                    item_id="i00002",
                    version=2,
                    timestamp_ms=now_ms,
                    log_time_ms=now_ms,
                    neighbors=("i00003", "i00004"),
                    scores=(0.4, 0.1),
                )
            ]
        )
    finally:
        redis.close()
    asked = {"item_id": "i00002", "num_items": 2}
    body = await ask(client, "/v1/similar", **asked, similarity_type="collaborative")
    assert [(one["item_id"], one["similarity_score"]) for one in body["similar_items"]] == [
        ("i00003", 1.0),
        ("i00004", pytest.approx(0.25)),
    ]
    assert body["metadata"]["fallbacks"] == []


async def test_a_user_has_a_say_in_what_is_similar(client: httpx.AsyncClient) -> None:
    plain = await ask(client, "/v1/similar", item_id="i00000", num_items=50)
    own = await ask(client, "/v1/similar", item_id="i00000", num_items=50, user_id="u00001")
    assert (plain["metadata"]["personalized"], own["metadata"]["personalized"]) == (False, True)
    orders = [[one["item_id"] for one in body["similar_items"]] for body in (plain, own)]
    assert orders[0] != orders[1]


async def test_an_unknown_item_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/similar", json={"item_id": "nothing"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_item")


async def test_interactions_are_in_the_log_once_however_often_they_are_told(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    where = {"recommendation_id": "interactions-once", "position": 1}
    told = {
        "user_id": "u00005",
        "interactions": [
            {"item_id": "i00001", "action": "click", "interaction_id": "a", "context": where},
            {"item_id": "i00002", "event_type": "like", "interaction_id": "b", "context": where},
        ],
    }
    first = await client.post("/interactions", json=told)
    assert (first.status_code, first.json()["events_processed"]) == (202, 2)
    again = await ask(client, "/interactions", **told)
    assert (again["events_processed"], again["duplicates"]) == (0, 2)
    events = in_the_log(servers.settings, USER_EVENTS, "interactions-once")
    assert sorted(event.event_type for event in events) == ["click", "like"]


async def test_negative_feedback_is_a_dismissal_in_the_log(
    client: httpx.AsyncClient, servers: LocalStack
) -> None:
    told = {
        "user_id": "u00006",
        "item_id": "i00001",
        "feedback_type": "not_interested",
        "reason": "already_seen",
        "recommendation_id": "negative-once",
    }
    said = await ask(client, "/v1/feedback/negative", **told)
    assert said == {"status": "accepted", "action_taken": "item_blocked", "duplicate": False}
    assert (await ask(client, "/v1/feedback/negative", **told))["duplicate"] is True
    (event,) = in_the_log(servers.settings, USER_EVENTS, "negative-once")
    assert (event.event_type, event.item_id) == ("dismiss", "i00001")
    assert dict(event.context) == {"feedback_type": "not_interested", "reason": "already_seen"}
