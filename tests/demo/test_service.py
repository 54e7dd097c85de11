import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from demo.service import Act, Service, ServiceError
from serving.requests import FeedbackRequest, PersonalizeRequest

ANSWER = {
    "request_id": "r1",
    "user_id": "u",
    "items": [
        {
            "item_id": "a",
            "rank": 1,
            "score": 0.9,
            "source": "content",
            "explanation": {"primary_reason": "because", "signals": []},
            "metadata": {"title": "Red mug", "category": "mugs", "price": 1.5, "image_url": None},
        },
        {
            "item_id": "b",
            "rank": 2,
            "score": 0.8,
            "source": "popular",
            "explanation": None,
            "metadata": {"title": "Bag", "category": None, "price": None, "image_url": None},
        },
    ],
    "metadata": {
        "versions": {"user": 3, "embedding": 2, "model": "m", "catalogue": 9},
        "cold_start": False,
        "fallbacks": ["rank:triton_unavailable"],
    },
}


def service(handler: Callable[[httpx.Request], httpx.Response]) -> Service:
    return Service("http://service", transport=httpx.MockTransport(handler))


async def test_a_list_is_asked_for_without_exploration_and_read() -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json=ANSWER)

    async with service(answer) as one:
        found = await one.personalize("u", count=2, explain=True)

    request = PersonalizeRequest.model_validate(asked[0])
    assert (request.user_id, request.constraints.count) == ("u", 2)
    assert (request.options.exploration_rate, request.options.include_explanation) == (0.0, True)
    assert found.ids == ("a", "b")
    assert (found.user_version, found.embedding_version) == (3, 2)
    assert found.fallbacks == ("rank:triton_unavailable",)
    assert [(i.title, i.category, i.price, i.reason) for i in found.items] == [
        ("Red mug", "mugs", 1.5, "because"),
        ("Bag", None, None, ""),
    ]


async def test_what_a_user_does_is_told_as_the_service_wants_it() -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(202, json={"status": "accepted", "processed": 1})

    async with service(answer) as one:
        assert await one.feedback("u", [Act(action="click", item_id="a")], request_id="r") == 1

    request = FeedbackRequest.model_validate(asked[0])
    assert (request.user_id, request.request_id) == ("u", "r")
    assert [(act.item_id, act.action) for act in request.feedback] == [("a", "click")]


async def test_an_error_is_told_with_its_address_and_text() -> None:
    async with service(lambda _: httpx.Response(400, text="no such thing")) as one:
        with pytest.raises(ServiceError, match="v1/personalize: answered 400: no such"):
            await one.personalize("u")


async def test_silence_is_told_with_what_to_do() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with service(refuse) as one:
        with pytest.raises(ServiceError, match=r"no answer \(ConnectError: refused\); is it up\?"):
            await one.personalize("u")


async def test_a_service_without_items_says_so_with_503() -> None:
    async with service(lambda _: httpx.Response(503, json={"catalogue_items": 7})) as one:
        assert await one.catalog_size() == 7
