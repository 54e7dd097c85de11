"""Series stay few, whatever is sent, and name nobody."""

import json
from collections.abc import AsyncIterator
from random import Random
from typing import get_args

import httpx
import pytest
from fastapi.routing import APIRoute

from schemas.types import CandidateSource
from serving.app import PATHS, create_app
from serving.metrics import Metrics
from serving.requests import PersonalizeRequest
from settings import Settings
from tests.serving.pretended import Outside, count_of, known_user

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW")


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings.model_validate({"serving": {"admin_token": "t"}}))
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


def labels_seen(metrics: Metrics) -> set[tuple[str, str, str]]:
    return {
        (sample.name, label, value)
        for family in metrics.registry.collect()
        if family.name.startswith("freshet_")
        for sample in family.samples
        for label, value in sample.labels.items()
    }


async def junk(client: httpx.AsyncClient, outside: Outside, *, seed: int) -> str:
    """Requests that have one word in every place; the word."""
    word = f"w{Random(seed).getrandbits(60):x}"
    outside.online.users[word] = known_user(user_id=word)
    headers = {"content-type": "application/json", "authorization": "Bearer t"}
    paths = [*PATHS, f"/{word}", f"/v1/debug/users/{word}", f"/v1/experiments/{word}"]
    fields = ("item_id", "session_id", "request_id", "action", "feedback_type", "reason")
    bodies = [
        {"user_id": word},
        {"user_id": word, "item_id": word, "action": "click"},
        {"user_id": word, "feedback": [{"item_id": word, "action": "click"}]},
        {"user_id": word, "feedback": [{"item_id": word, "action": word}]},
        {"user_id": word, **dict.fromkeys(fields, word), word: word},
    ]
    for path in paths:
        for body in (json.dumps(one) for one in bodies):
            await client.post(path, content=body, headers=headers)
        for method in (*METHODS, word.upper()):
            await client.request(method, f"{path}?{word}={word}", headers=headers)
    return word


async def test_other_requests_make_no_other_series(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    words = [await junk(client, outside, seed=1)]
    seen = labels_seen(outside.metrics)
    words += [await junk(client, outside, seed=seed) for seed in (2, 3)]
    assert labels_seen(outside.metrics) == seen
    for word in words:
        assert not [one for one in seen if word.lower() in one[2].lower()]


async def test_routes_are_named_as_they_are_declared(
    client: httpx.AsyncClient, outside: Outside
) -> None:
    await junk(client, outside, seed=1)
    app = create_app(Settings())
    declared = {route.path for route in app.routes if isinstance(route, APIRoute)}
    paths = {value for _, label, value in labels_seen(outside.metrics) if label == "path"}
    assert paths == {*declared, *PATHS, "other"}


async def test_it_says_what_it_is_and_how_the_process_does(client: httpx.AsyncClient) -> None:
    page = (await client.get("/metrics")).text
    assert 'freshet_build_info{python="3.' in page
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "python_gc_"):
        assert f"\n{name}" in page


async def test_places_are_counted_by_what_put_them_there(outside: Outside) -> None:
    service = outside.service()
    made, impression = await service.pipeline.personalize(
        PersonalizeRequest(user_id="u1"), request_id="r1"
    )
    await service.impressions._write([impression])
    sources = [one["source"] for one in made["items"]]
    for source in get_args(CandidateSource):
        counted = count_of(outside.metrics, "freshet_shown_items_total", source=source)
        assert counted == sources.count(source)
