"""A language model behind OpenAI's interface: a real HTTP server that behaves as it is told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from serving.chat import ChatEndpoint
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
    clients: list[ChatEndpoint] = field(default_factory=list)
    connections: set[asyncio.Task[None]] = field(default_factory=set)

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

    def client(self, *, clock: Callable[[], float] = time.monotonic, **fields: Any) -> ChatEndpoint:
        """A client that is closed with the server."""
        self.clients.append(ChatEndpoint(self.settings(**fields), clock=clock))
        return self.clients[-1]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that ends with the server."""
        task = asyncio.create_task(self.serve(reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def close(self) -> None:
        """End all connections, from both sides."""
        for client in self.clients:
            await client.close()
        for task in self.connections:
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on a connection until its end."""
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

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
    server = await asyncio.start_server(model.connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    model.address = f"http://{host}:{port}"
    async with server:
        try:
            yield model
        finally:
            await model.close()
