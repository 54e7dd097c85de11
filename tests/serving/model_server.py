"""A language model behind OpenAI's interface: a real HTTP server that behaves as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from settings.model import ReasonerSettings

Write = Callable[[dict[str, Any]], str]


def writes_well(facts: dict[str, Any]) -> str:
    """A reason for each item, or an explanation of the one."""
    if "items" not in facts:
        return json.dumps(
            {"headline": "Chosen with you in mind", "detailed": f"You may like {facts['title']}."}
        )
    return json.dumps(
        {
            "reasons": [
                {"item": one["item"], "text": f"You may well like {one['title']}"}
                for one in facts["items"]
            ]
        }
    )


@dataclass
class ModelServer:
    """Tells what was asked, and answers by its fields, which may be changed at any time."""

    write: Write = writes_well
    delay_s: float = 0.0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    # Sent as it is in place of a completion.
    raw: bytes | None = None
    hangs_up: bool = False
    address: str = ""
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The facts of each call but for probes."""
        return [
            json.loads(body["messages"][1]["content"])
            for _, _, body in self.requests
            if len(body["messages"]) > 1
        ]

    def settings(self, **fields: Any) -> ReasonerSettings:
        """What points a service here; every request may ask unless told otherwise."""
        return ReasonerSettings.model_validate(
            {"url": f"{self.address}/v1", "model": "tiny", "most_share": 1.0, **fields}
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on a connection until its end."""
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])
        }
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.requests.append((head[0], headers, body))
        await asyncio.sleep(self.delay_s)
        if self.hangs_up:
            raise ConnectionError
        sent = self.raw if self.raw is not None else self._completion(body)
        lines = {"content-length": str(len(sent)), **self.headers}
        status = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"
        told = [status, *(f"{name}: {value}" for name, value in lines.items())]
        writer.write("\r\n".join(told).encode() + b"\r\n\r\n" + sent)
        await writer.drain()

    def _completion(self, body: dict[str, Any]) -> bytes:
        if self.status != HTTPStatus.OK:
            return b'{"error": {"message": "no"}}'
        messages = body["messages"]
        text = self.write(json.loads(messages[1]["content"])) if len(messages) > 1 else "OK"
        return json.dumps(
            {
                "id": "x",
                "object": "chat.completion",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250},
            }
        ).encode()


@asynccontextmanager
async def model_server(**fields: Any) -> AsyncIterator[ModelServer]:
    """A server on a free port of loopback."""
    model = ModelServer(**fields)
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    model.address = f"http://{host}:{port}"
    async with server:
        yield model
