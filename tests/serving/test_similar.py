"""What is like an item: from the servers, without them, and to a user's taste."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.catalog import FIRST_CAPACITY
from serving.errors import ApiError
from serving.recommendation_requests import SimilarRequest
from serving.service import Service
from settings import Settings
from stores.vectors import EVERYTHING, ItemFilter
from tests.serving.pretended import (
    NOW_MS,
    Floats,
    Outside,
    PretendedVectors,
    axis,
    count_of,
    interaction,
    item,
    known_user,
    shop,
)


@pytest.fixture
def outside() -> Outside:
    made = Outside()
    made.neighbors.beside["mug-0"] = {"lamp-1": 0.02, "mug-1": 0.01, "unheard-of": 0.01}
    return made


async def ask(service: Service, item_id: str = "mug-0", **fields: Any) -> dict[str, Any]:
    request = SimilarRequest.model_validate({"item_id": item_id, **fields})
    return await service.similar.answer(request, request_id="r1")


def ids(body: dict[str, Any]) -> list[str]:
    return [one["item_id"] for one in body["similar_items"]]


async def test_content_finds_what_is_alike_in_itself(outside: Outside) -> None:
    body = await ask(outside.service(), similarity_type="content")
    assert (body["request_id"], body["source_item"]) == ("r1", "mug-0")
    assert ids(body) == ["mug-1", "mug-2"]
    first = body["similar_items"][0]
    assert first["similarity_score"] == pytest.approx(0.7071, abs=1e-4)
    assert first["similarity_type"] == "content"
    assert first["common_attributes"] == ["category:mugs"]
    assert body["metadata"]["fallbacks"] == []
    assert body["metadata"]["personalized"] is False
    assert outside.neighbors.calls == 0


async def test_collaborative_finds_what_is_met_together(outside: Outside) -> None:
    body = await ask(outside.service(), similarity_type="collaborative")
    assert ids(body) == ["lamp-1", "mug-1"]
    assert [one["similarity_score"] for one in body["similar_items"]] == [1.0, 0.5]
    assert {one["similarity_type"] for one in body["similar_items"]} == {"collaborative"}
    assert body["similar_items"][0]["common_attributes"] == []
    assert outside.vectors.calls == 0


async def test_hybrid_weighs_both(outside: Outside) -> None:
    body = await ask(outside.service())
    found = {one["item_id"]: one for one in body["similar_items"]}
    assert ids(body) == ["mug-1", "lamp-1", "mug-2"]
    assert found["mug-1"]["similarity_score"] == pytest.approx((0.7071 + 0.5) / 2, abs=1e-4)
    assert found["lamp-1"]["similarity_score"] == 0.5
    kinds = [one["similarity_type"] for one in body["similar_items"]]
    assert kinds == ["hybrid", "collaborative", "content"]


async def test_hybrid_knows_how_alike_a_neighbour_is_that_the_search_missed(
    outside: Outside,
) -> None:
    outside.vectors.items = []
    body = await ask(outside.service())
    found = {one["item_id"]: one for one in body["similar_items"]}
    assert found["mug-1"]["similarity_score"] == pytest.approx((0.7071 + 0.5) / 2, abs=1e-4)


async def test_without_neighbours_hybrid_is_content(outside: Outside) -> None:
    body = await ask(outside.service(), "mug-1")
    assert ids(body)[0] == "mug-0"
    assert body["similar_items"][0]["similarity_score"] == pytest.approx(0.7071, abs=1e-4)
    assert body["metadata"]["fallbacks"] == []


async def test_without_neighbours_collaborative_falls_back_to_content(outside: Outside) -> None:
    body = await ask(outside.service(), "mug-1", similarity_type="collaborative")
    assert body["metadata"]["fallbacks"] == ["similar:content"]
    assert {one["similarity_type"] for one in body["similar_items"]} == {"content"}
    assert ids(body)[0] == "mug-0"


async def test_without_the_vector_store_memory_answers_the_same(outside: Outside) -> None:
    there = await ask(outside.service(), similarity_type="content")
    outside.vectors.away = True
    away = await ask(outside.service(), similarity_type="content")
    assert away["metadata"]["fallbacks"] == ["similar:milvus_unavailable"]
    assert ids(away) == ids(there)
    fallback = "similar:milvus_unavailable"
    assert count_of(outside.metrics, "freshet_fallbacks_total", fallback=fallback) == 1
    assert count_of(outside.metrics, "freshet_stage_seconds_count", stage="similar") == 2


async def test_without_redis_what_is_alike_in_itself_is_left(outside: Outside) -> None:
    outside.neighbors.away = outside.online.away = True
    body = await ask(outside.service(), user_id="u1")
    assert ids(body) == ["mug-1", "mug-2"]
    assert set(body["metadata"]["fallbacks"]) == {
        "user:redis_unavailable",
        "similar:redis_unavailable",
    }
    assert body["metadata"]["personalized"] is False


async def test_a_slow_store_is_not_waited_for(outside: Outside) -> None:
    outside.vectors.delay_s = outside.neighbors.delay_s = 10.0
    body = await ask(outside.service())
    assert ids(body) == ["mug-1", "mug-2"]
    assert body["metadata"]["latency_ms"] < 500


async def test_an_item_without_a_vector_or_neighbours_gets_popular_ones_of_its_category(
    outside: Outside,
) -> None:
    service = outside.service([*shop(), item("plain", category_id="lamps")])
    body = await ask(service, "plain", num_items=2)
    assert ids(body) == ["lamp-0", "lamp-1"]
    assert body["metadata"]["fallbacks"] == ["similar:popular_of_category"]
    assert {one["similarity_type"] for one in body["similar_items"]} == {"popular"}
    assert {one["similarity_score"] for one in body["similar_items"]} == {0.0}


async def test_an_item_alone_in_its_category_gets_popular_ones(outside: Outside) -> None:
    service = outside.service([*shop(), item("odd", category_id="odds")])
    body = await ask(service, "odd", num_items=1)
    assert ids(body) == ["mug-0"]
    assert body["metadata"]["fallbacks"] == ["similar:popular"]


async def test_collaborative_ends_at_popular_ones_too(outside: Outside) -> None:
    service = outside.service([*shop(), item("plain", category_id="lamps")])
    body = await ask(service, "plain", similarity_type="collaborative")
    assert body["metadata"]["fallbacks"] == ["similar:content", "similar:popular_of_category"]
    assert ids(body) == ["lamp-0", "lamp-1", "lamp-2"]


async def test_what_may_not_be_shown_is_left_out(outside: Outside) -> None:
    sold_out = item("mug-2", vector=axis(0, 4), category_id="mugs", availability="out_of_stock")
    hidden = [*shop()[:2], sold_out, *shop()[3:]]
    body = await ask(outside.service(hidden), exclude_items=["lamp-1"])
    assert ids(body) == ["mug-1"]
    assert outside.vectors.filters[-1].exclude != ()
    filtered = await ask(outside.service(), filters={"categories": ["lamps"]})
    assert ids(filtered) == ["lamp-1"]
    best = await ask(outside.service(), filters={"min_quality_score": 0.5})
    assert ids(best) == []


async def test_what_is_out_of_stock_can_be_asked_about(outside: Outside) -> None:
    items = [*shop(), item("sold-out", vector=axis(0), availability="out_of_stock")]
    assert "mug-0" in ids(await ask(outside.service(items), "sold-out"))


async def test_a_user_brings_what_they_like_to_the_front(outside: Outside) -> None:
    outside.online.users["u1"] = known_user(embedding=axis(1), recent=())
    body = await ask(outside.service(), user_id="u1")
    assert ids(body)[0] == "lamp-1"
    assert body["metadata"]["personalized"] is True
    # The score stays that of likeness to the item.
    assert body["similar_items"][0]["similarity_score"] == 0.5


async def test_what_a_user_dismissed_is_left_out(outside: Outside) -> None:
    dismissed = (interaction("mug-1", "dismiss"), interaction("mug-2", "click"))
    outside.online.users["u1"] = known_user(recent=dismissed)
    assert ids(await ask(outside.service(), user_id="u1")) == ["mug-2", "lamp-1"]


async def test_a_user_who_withdrew_consent_changes_nothing(outside: Outside) -> None:
    plain = await ask(outside.service())
    outside.online.users["u1"] = known_user(
        embedding=axis(1), consent=False, recent=(interaction("mug-1", "dismiss"),)
    )
    body = await ask(outside.service(), user_id="u1")
    assert (ids(body), body["metadata"]["personalized"]) == (ids(plain), False)


async def test_num_items_is_the_most(outside: Outside) -> None:
    assert len(ids(await ask(outside.service(), num_items=1))) == 1


@pytest.mark.parametrize("away", [False, True])
async def test_a_catalogue_that_grows_while_the_stores_are_asked_does_no_harm(
    outside: Outside, *, away: bool
) -> None:
    service = outside.service()
    more = [item(f"new-{number}", vector=axis(0)) for number in range(FIRST_CAPACITY)]

    class Growing(PretendedVectors):
        async def search_items(
            self,
            vector: Floats,
            k: int,
            *,
            filter: ItemFilter = EVERYTHING,  # noqa: A002
        ) -> list[tuple[str, float]]:
            service.catalog.apply(more, now_ms=NOW_MS)
            self.items = more
            return await super().search_items(vector, k, filter=filter)

    growing = Growing(away=away)
    object.__setattr__(service.similar, "vectors", growing)
    assert ids(await ask(service, similarity_type="content"))[0].startswith("new-")


async def test_an_unknown_or_deleted_item_is_not_found(outside: Outside) -> None:
    deleted = replace(shop()[0], deleted=True)
    service = outside.service([*shop()[1:], deleted])
    for item_id in ("mug-0", "nothing"):
        with pytest.raises(ApiError, match=f'item_id is "{item_id}"') as refused:
            await ask(service, item_id)
        assert (refused.value.status_code, refused.value.code) == (404, "unknown_item")
        assert "check the id" in refused.value.hint


async def test_without_any_item_nothing_can_be_answered(outside: Outside) -> None:
    with pytest.raises(ApiError, match="knows no items yet") as refused:
        await ask(outside.service([]))
    assert refused.value.status_code == 503


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings())
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_over_http(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/similar", json={"item_id": "mug-0", "num_items": 1})
    assert answer.status_code == 200
    assert [one["item_id"] for one in answer.json()["similar_items"]] == ["mug-1"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_the_404_has_the_shape_of_every_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/similar", json={"item_id": "nothing"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("unknown_item", "item_id")
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"num_items": 101}, "num_items"),
        ({"similarity_type": "vibes"}, "similarity_type"),
        ({"item_id": ""}, "item_id"),
        ({"user": "u1"}, "user"),
    ],
)
async def test_wrong_values_are_named(
    client: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/similar", json={"item_id": "mug-0", **fields})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field
