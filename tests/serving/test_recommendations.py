"""Document 001's lists: what is asked becomes what the stages take, and back."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serving import recommendations
from serving.app import create_app
from serving.errors import ApiError
from serving.recommendation_requests import RecommendationRequest
from serving.requests import PersonalizeRequest
from settings import Settings
from tests.serving.pretended import NOW_MS, Outside, axis, interaction, item, known_user, shop


@pytest.fixture
def outside() -> Outside:
    made = Outside()
    made.online.users["u1"] = known_user()
    return made


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings())
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def asked(**fields: Any) -> PersonalizeRequest:
    request = RecommendationRequest.model_validate({"user_id": "u1", **fields})
    return recommendations.personalize_request(request)


async def ask(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/recommendations", json={"user_id": "u1", **fields})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_every_field_reaches_the_stages() -> None:
    request = asked(
        context={
            "device_type": "mobile",
            "platform": "ios",
            "timestamp": "2026-01-24T10:30:00Z",
            "location": {"country": "US", "region": "CA"},
            "session_id": "s1",
        },
        num_items=7,
        exclude_items=["mug-0"],
        filters={"categories": ["mugs"], "min_quality_score": 0.5},
        diversity_settings={"category_diversity": 0.2, "creator_diversity": 0.4},
    )
    assert request == PersonalizeRequest.model_validate(
        {
            "user_id": "u1",
            "session_id": "s1",
            "context": {
                "page_type": "home",
                "placement": "feed",
                "device": "mobile",
                "geo": {"country": "US", "region": "CA"},
                "timestamp": "2026-01-24T10:30:00Z",
            },
            "constraints": {
                "count": 7,
                "categories": ["mugs"],
                "exclude_items": ["mug-0"],
                "min_quality_score": 0.5,
            },
            "options": {
                "include_explanation": True,
                "exploration_rate": 0.05,
                "diversity_weight": 0.4,
            },
        }
    )


def test_what_is_left_out_has_the_defaults_of_the_document() -> None:
    request = asked()
    assert (request.constraints.count, request.options.diversity_weight) == (50, 0.15)
    assert asked(diversity_settings={"category_diversity": 0}).options.diversity_weight == 0


@pytest.mark.parametrize(
    ("kind", "hint"), [("similar", "/v1/similar"), ("continue_watching", "home_feed")]
)
def test_lists_that_are_not_made_are_refused_with_a_way_out(kind: str, hint: str) -> None:
    with pytest.raises(ApiError, match=f"request_type is {kind}") as refused:
        asked(request_type=kind)
    assert (refused.value.status_code, refused.value.code) == (400, "not_offered")
    assert refused.value.field == "request_type"
    assert hint in refused.value.hint


async def test_it_is_the_same_list_as_the_other_endpoints(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    body = await ask(client, diversity_settings={"category_diversity": 0.0})
    plain = await client.post(
        "/v1/personalize",
        json={"user_id": "u1", "options": {"exploration_rate": 0, "diversity_weight": 0}},
    )
    items = {one["item_id"]: one for one in plain.json()["items"]}
    assert [one["rank"] for one in body["recommendations"]] == [1, 2, 3, 4, 5, 6]
    for one in body["recommendations"]:
        other = items[one["item_id"]]
        assert one["score"] == other["score"]
        assert one["metadata"] == {
            "title": other["metadata"]["title"],
            "thumbnail_url": None,
            "category": other["metadata"]["category"],
            "price": 5.0,
        }


async def test_the_answer_says_how_it_came_about(client: httpx.AsyncClient) -> None:
    body = await ask(client)
    said = body["metadata"]
    assert (said["model_version"], said["cold_start"], said["fallbacks"]) == ("ranker:1", False, [])
    assert (said["experiment_id"], said["variant"]) == (None, None)
    assert sum(said["retrieval_sources"].values()) == 6
    spent = said["latency_ms"]
    assert spent.keys() == {"total", "retrieval", "ranking", "feature_fetch"}
    parts = spent["retrieval"] + spent["ranking"] + spent["feature_fetch"]
    assert 0 < parts < spent["total"]
    assert said["versions"]["user"] == 7


async def test_an_item_like_a_recent_one_names_it(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    body = await ask(client, diversity_settings={"category_diversity": 0})
    by_id = {one["item_id"]: one["explanation"] for one in body["recommendations"]}
    assert by_id["mug-1"] == {
        "reason": "similar_to_recent",
        "source_items": ["mug-0"],
        "text": "Similar to Item mug-0, which you clicked",
        "llm_generated": False,
    }
    assert by_id["lamp-0"]["source_items"] == []
    assert by_id["lamp-0"]["reason"] == "trending"


async def test_items_of_little_quality_are_left_out(outside: Outside) -> None:
    good = [item(name, vector=axis(0), quality_score=0.7) for name in ("mug-0", "mug-1")]
    service = outside.service([*shop()[2:], *good])
    wanted = asked(filters={"min_quality_score": 0.7})
    body, impression = await service.pipeline.personalize(
        wanted, request_id="r1", body=recommendations.body
    )
    assert {one["item_id"] for one in body["recommendations"]} == {"mug-0", "mug-1"}
    assert len(impression.items) == 2


async def test_what_was_shown_is_logged_as_for_the_other_endpoint(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    body, impression = await outside.service().pipeline.personalize(
        asked(context={"session_id": "s1", "device_type": "tv"}),
        request_id="r1",
        body=recommendations.body,
    )
    assert impression.request_id == body["request_id"] == "r1"
    shown = [one.item_id for one in impression.items]
    assert shown == [one["item_id"] for one in body["recommendations"]]
    assert (impression.placement, impression.device, impression.session_id) == ("feed", "tv", "s1")
    assert impression.exploration_rate == 0.05


async def test_a_dead_server_is_named(client: httpx.AsyncClient, outside: Outside) -> None:
    outside.ranker.away = True
    body = await ask(client)
    assert body["metadata"]["fallbacks"] == ["rank:triton_unavailable"]
    assert len(body["recommendations"]) == 6


async def test_an_unknown_user_gets_the_cold_start(client: httpx.AsyncClient) -> None:
    body = await ask(client, user_id="nobody")
    assert body["metadata"]["cold_start"] is True
    # Of whom nothing is known, much is left to chance: which source has which place varies.
    sources = body["metadata"]["retrieval_sources"]
    assert sources.keys() <= {"popular", "trending", "exploration"}
    assert sum(sources.values()) == 6
    assert all(one["explanation"]["source_items"] == [] for one in body["recommendations"])


async def test_a_deleted_item_of_the_past_is_no_reason(outside: Outside) -> None:
    outside.online.users["u1"] = known_user(recent=(interaction("gone", at_ms=NOW_MS),))
    service = outside.service([*shop(), item("other")])
    body, _ = await service.pipeline.personalize(
        asked(), request_id="r1", body=recommendations.body
    )
    assert all(one["explanation"]["source_items"] == [] for one in body["recommendations"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"num_items": 0}, "num_items"),
        ({"num_items": 101}, "num_items"),
        ({"request_type": "list"}, "request_type"),
        ({"exclude_items": ["x"] * 501}, "exclude_items"),
        ({"filters": {"min_quality_score": 1.1}}, "filters.min_quality_score"),
        (
            {"diversity_settings": {"category_diversity": -1}},
            "diversity_settings.category_diversity",
        ),
        ({"context": {"location": {"town": "x"}}}, "context.location.town"),
    ],
)
async def test_wrong_values_are_named(
    client: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/recommendations", json={"user_id": "u1", **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field
