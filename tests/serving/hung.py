"""Servers that take connections and calls, and never answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc


@dataclass
class Hung:
    """A raw listener: it reads whatever comes, and says nothing."""

    port: int = 0
    open: int = 0
    most: int = 0
    taken: int = 0
    read: int = 0

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            while chunk := await reader.read(65_536):
                self.read += len(chunk)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def hung() -> AsyncIterator[Hung]:
    """A listener on loopback that never answers."""
    one = Hung()
    server = await asyncio.start_server(one.hold, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()


@dataclass
class HungCalls:
    """A gRPC server whose methods never answer; it keeps what callers said of their time."""

    port: int = 0
    seconds_left: list[float | None] = field(default_factory=list)
    under_way: int = 0

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        """The same for every method."""
        return grpc.unary_unary_rpc_method_handler(self._never)

    async def _never(self, request: bytes, context: Any) -> bytes:
        self.seconds_left.append(context.time_remaining())
        self.under_way += 1
        try:
            await asyncio.sleep(3_600)
        finally:
            self.under_way -= 1
        return request


@asynccontextmanager
async def hung_calls() -> AsyncIterator[HungCalls]:
    """A gRPC server on loopback that takes any call and never answers."""
    one, server = HungCalls(), grpc.aio.server()
    server.add_generic_rpc_handlers((one,))  # type: ignore[arg-type]
    one.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield one
    finally:
        await server.stop(0)
