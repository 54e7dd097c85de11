"""The client of a model's endpoint, against a real server."""

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from serving.chat import MOST_BYTES, ChatUnavailableError
from tests.serving.model_server import ModelServer, model_server

KEY = "sk-very-secret"
MESSAGES = [{"role": "system", "content": "write"}, {"role": "user", "content": '{"title": "x"}'}]


async def asked(model: ModelServer, **settings: Any) -> str:
    return (await model.client(**settings).ask(MESSAGES, most_tokens=7)).text


async def test_what_is_sent_and_what_comes_back() -> None:
    async with model_server() as model:
        chat = model.client(api_key=KEY)
        said = await chat.ask(MESSAGES, most_tokens=7)
    assert "You may like x." in said.text
    assert (said.prompt_tokens, said.completion_tokens) == (200, 50)
    ((line, headers, body),) = model.requests
    assert line == "POST /v1/chat/completions HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "tiny",
        "messages": MESSAGES,
        "max_tokens": 7,
        "temperature": 0.2,
        "response_format": {"type": "json_object"},
    }


async def test_without_a_key_none_is_sent() -> None:
    async with model_server() as model:
        await asked(model)
    assert "authorization" not in model.requests[0][1]


async def test_extra_fields_lie_over_the_body_and_null_takes_one_away() -> None:
    extra = {"max_tokens": None, "max_completion_tokens": 9, "model": "other"}
    async with model_server() as model:
        await asked(model, extra=json.dumps(extra))
    body = model.requests[0][2]
    assert (body["max_completion_tokens"], body["model"]) == (9, "other")
    assert "max_tokens" not in body


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 302])
async def test_another_status_is_no_answer(status: int) -> None:
    async with model_server(status=status) as model:
        with pytest.raises(ChatUnavailableError, match=f"status {status}"):
            await asked(model)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b'{"choices": [{"message": {"content": "\\ud800"}}]}',
        b"\xff",
        b"[" * 50_000,
    ],
)
async def test_something_else_than_a_completion_is_no_answer(raw: bytes) -> None:
    async with model_server(raw=raw) as model:
        with pytest.raises(ChatUnavailableError, match="something else than a completion"):
            await asked(model)


async def test_an_answer_without_a_text_is_none_but_a_probe_may_have_it() -> None:
    async with model_server(raw=b'{"choices": [{"message": {"content": null}}]}') as model:
        with pytest.raises(ChatUnavailableError, match="without a text"):
            await asked(model)
        await model.client().probe()
        model.raw = b"<html>"
        with pytest.raises(ChatUnavailableError, match="something else"):
            await model.client().probe()


async def test_an_endless_answer_is_cut_off() -> None:
    async with model_server(raw=b" " * (MOST_BYTES + 1)) as model:
        with pytest.raises(ChatUnavailableError, match=f"more than {MOST_BYTES} bytes"):
            await asked(model)


async def test_a_closed_connection_and_a_missing_server_are_no_answers() -> None:
    async with model_server(hangs_up=True) as model:
        with pytest.raises(ChatUnavailableError, match="RemoteProtocolError"):
            await asked(model)
    with pytest.raises(ChatUnavailableError, match="ConnectError"):
        await asked(model)


async def test_a_server_without_counts_of_tokens_will_do() -> None:
    raw = b'{"choices": [{"message": {"content": "hello"}}], "usage": {"prompt_tokens": null}}'
    async with model_server(raw=raw) as model:
        assert await asked(model) == "hello"


async def test_a_rest_that_is_asked_for_is_given() -> None:
    now_s = 100.0
    async with model_server(status=429, headers={"retry-after": "30"}) as model:
        chat = model.client(clock=lambda: now_s)
        with pytest.raises(ChatUnavailableError, match="429"):
            await chat.probe()
        model.status, now_s = 200, 129.9
        with pytest.raises(ChatUnavailableError, match="rest"):
            await chat.probe()
        assert len(model.requests) == 1
        now_s = 130.0
        await chat.probe()


@pytest.mark.parametrize(
    ("said", "rests"), [("100000", True), ("Wed, 21 Oct", False), ("-5", False)]
)
async def test_a_rest_is_bounded_and_a_date_is_none(said: str, *, rests: bool) -> None:
    now_s = 100.0
    async with model_server(status=503, headers={"retry-after": said}) as model:
        chat = model.client(clock=lambda: now_s)
        with pytest.raises(ChatUnavailableError, match="503"):
            await chat.probe()
        with pytest.raises(ChatUnavailableError, match="rest" if rests else "503"):
            await chat.probe()
        model.status, now_s = 200, 160.0
        await chat.probe()


async def test_a_refusal_is_logged_once_and_without_the_key() -> None:
    raw = b'{"error": "wrong key ' + b"x" * 270 + KEY.encode() + b' given"}'
    async with model_server(status=401, raw=raw) as model:
        chat = model.client(api_key=KEY)
        with capture_logs() as logged:
            for _ in range(3):
                with pytest.raises(ChatUnavailableError):
                    await chat.probe()
    assert [one["status"] for one in logged] == [401]
    assert "wrong key" in logged[0]["says"]
    assert "sk-" not in logged[0]["says"]
