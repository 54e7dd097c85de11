"""The path for administrators: who is let in, and what is shown."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx
import jsonschema
import pytest

from serving.app import create_app
from settings import Settings
from tests.serving.pretended import Outside

TOKEN = "open-sesame"
PATH = "/v1/debug/users"


@pytest.fixture
def outside() -> Outside:
    return Outside(settings=Settings.model_validate({"serving": {"admin_token": TOKEN}}))


@pytest.fixture
async def client(outside: Outside) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def ask(client: httpx.AsyncClient, user_id: str, token: str | None = TOKEN) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await client.get(f"{PATH}/{user_id}", headers=headers)


async def promised(client: httpx.AsyncClient, status: int) -> dict[str, Any]:
    schema = (await client.get("/openapi.json")).json()
    answer = schema["paths"]["/v1/debug/users/{user_id}"]["get"]["responses"][str(status)]
    return {**answer["content"]["application/json"]["schema"], "components": schema["components"]}


async def test_whoever_has_the_token_sees_a_user(client: httpx.AsyncClient) -> None:
    answer = await ask(client, "u/1")
    assert answer.status_code == 200
    jsonschema.validate(answer.json(), await promised(client, 200))
    assert (answer.json()["user_id"], answer.json()["known"]) == ("u/1", False)
    assert answer.json()["milvus"] == {"away": "it is away"}


@pytest.mark.parametrize("user_id", ["u%0A1", "u1%0A", "%0A", "u%0D%0A/%E2%80%A8"])
async def test_a_line_break_is_a_part_of_an_id(client: httpx.AsyncClient, user_id: str) -> None:
    answer = await ask(client, user_id)
    assert (answer.status_code, answer.json()["user_id"]) == (200, unquote(user_id))


@pytest.mark.parametrize("token", [None, "", "open-sesam", "open-sesame!", "Open-Sesame", "\xfc"])
async def test_nobody_else_does(client: httpx.AsyncClient, token: str | None) -> None:
    header = [] if token is None else [(b"authorization", f"Bearer {token}".encode("latin-1"))]
    answer = await client.get(f"{PATH}/u1", headers=header)
    assert answer.status_code == 403
    jsonschema.validate(answer.json(), await promised(client, 403))
    error = answer.json()["error"]
    assert (error["code"], "serving.admin_token" in error["hint"]) == ("forbidden", True)
    assert TOKEN not in answer.text


async def test_without_a_token_set_the_path_is_closed_to_all(outside: Outside) -> None:
    outside.settings = Settings()
    app = create_app(outside.settings)
    app.state.service = outside.service()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        for token in (None, "", TOKEN):
            answer = await ask(client, "u1", token)
            assert answer.status_code == 403
            assert "no admin token is set" in answer.json()["error"]["message"]
            assert "FRESHET_SERVING__ADMIN_TOKEN" in answer.json()["error"]["hint"]


async def test_a_store_that_is_away_is_told(client: httpx.AsyncClient, outside: Outside) -> None:
    outside.lookup.away = True
    answer = await ask(client, "u1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "it is away" in answer.json()["error"]["message"]


async def test_an_id_that_is_too_long_is_refused_in_the_one_format(
    client: httpx.AsyncClient,
) -> None:
    answer = await ask(client, "u" * 1_000)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_value"
    assert "path.user_id" in answer.json()["error"]["message"]


async def test_the_interface_says_that_a_token_is_needed(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    operation = schema["paths"]["/v1/debug/users/{user_id}"]["get"]
    assert operation["security"] == [{"HTTPBearer": []}]
    assert (
        "serving.admin_token"
        in schema["components"]["securitySchemes"]["HTTPBearer"]["description"]
    )
