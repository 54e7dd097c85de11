"""Asks a language model, by the one interface that nearly all of them have."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from settings.model import ReasonerSettings

PATH = "/chat/completions"
# What a model has to say is a few hundred bytes.
MOST_BYTES = 64 * 1024
SHOWN = 300
# A server may ask for a rest; longer than this it gets none.
LONGEST_REST_S = 60.0
KEPT_ALIVE_S = 60.0
MASK = "********"
# Compressed, an answer could be larger than it looks.
PLAIN = {"Accept-Encoding": "identity"}
PROBE = ({"role": "user", "content": "Say OK."},)

Message = Mapping[str, str]
log = structlog.get_logger(__name__)


class ChatUnavailableError(Exception):
    """The model gave no answer; the same call may work later."""


class _Lenient(BaseModel):
    """Endpoints say more than the interface has; what is used of it has to be right."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, hide_input_in_errors=True)


class _Message(_Lenient):
    content: str | None = None


class _Choice(_Lenient):
    message: _Message


class _Usage(_Lenient):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(_Lenient):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a model wrote, and what it took."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatEndpoint:
    """An OpenAI-compatible endpoint."""

    def __init__(
        self, settings: ReasonerSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._key = settings.api_key.get_secret_value()
        self._model = settings.model
        self._extra = json.loads(settings.extra or "{}")
        self._clock = clock
        self._rests_until = 0.0
        self._last_status: int = httpx.codes.OK
        self._url = settings.url + PATH
        self._client = httpx.AsyncClient(
            headers=PLAIN | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=settings.finish_ms / 1000,
            limits=httpx.Limits(
                # One for the probe.
                max_connections=settings.most_concurrent + 1,
                keepalive_expiry=KEPT_ALIVE_S,
            ),
        )

    async def ask(self, messages: Sequence[Message], *, most_tokens: int) -> Said:
        """What the model answers, in JSON as it claims, or `ChatUnavailableError`."""
        return _said(
            await self._completed(
                {
                    "messages": messages,
                    "max_tokens": most_tokens,
                    "temperature": 0.2,
                    "response_format": {"type": "json_object"},
                }
            )
        )

    async def probe(self) -> None:
        """Raise unless the model answers now: a list of models would say less."""
        await self._completed({"messages": PROBE, "max_tokens": 1})

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _completed(self, asked: Mapping[str, Any]) -> _Completion:
        return _completion(await self._sent(asked))

    async def _sent(self, asked: Mapping[str, Any]) -> bytes:
        if self._clock() < self._rests_until:
            raise ChatUnavailableError("it asked for a rest, which isn't over")
        laid_over = {"model": self._model, **asked, **self._extra}
        body = {name: value for name, value in laid_over.items() if value is not None}
        try:
            async with self._client.stream("POST", self._url, json=body) as response:
                answer = await _bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ChatUnavailableError(f"{type(error).__name__}: {error}") from error
        if response.status_code != httpx.codes.OK:
            raise self._refused(response, answer)
        self._last_status = httpx.codes.OK
        return answer

    def _refused(self, response: httpx.Response, answer: bytes) -> ChatUnavailableError:
        status = response.status_code
        rest_s = _rest_s(response.headers.get("retry-after", ""))
        self._rests_until = self._clock() + rest_s
        if status != self._last_status:
            log.warning("the model refuses to answer", status=status, says=self._shown(answer))
        self._last_status = status
        return ChatUnavailableError(f"it answered with status {status}")

    def _shown(self, answer: bytes) -> str:
        """What the endpoint says of an error, without the key, which some repeat."""
        text = answer.decode(errors="replace")
        return (text.replace(self._key, MASK) if self._key else text)[:SHOWN]


async def _bounded(response: httpx.Response) -> bytes:
    taken = bytearray()
    async for part in response.aiter_raw():
        taken += part
        if len(taken) > MOST_BYTES:
            raise ChatUnavailableError(f"it answered with more than {MOST_BYTES} bytes")
    return bytes(taken)


def _completion(answer: bytes) -> _Completion:
    try:
        return _Completion.model_validate_json(answer)
    except ValidationError as error:
        raise ChatUnavailableError("it answered with something else than a completion") from error


def _said(completion: _Completion) -> Said:
    text, usage = completion.choices[0].message.content, completion.usage or _Usage()
    if text is None:
        raise ChatUnavailableError("it answered without a text")
    return Said(
        text=text,
        prompt_tokens=max(0, usage.prompt_tokens or 0),
        completion_tokens=max(0, usage.completion_tokens or 0),
    )


def _rest_s(retry_after: str) -> float:
    """The rest that a server asks for in seconds; one that names a date gets none."""
    return min(float(retry_after), LONGEST_REST_S) if retry_after.isdecimal() else 0.0
