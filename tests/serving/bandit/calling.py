"""A caller of the BanditService, over a real connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import numpy as np
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from serving.admission import Admission, admission_of
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from serving.rpc.server import SERVICE, listening
from settings import Settings
from stores.posteriors import PosteriorView
from tests.serving import pretended
from tests.serving.pretended import Outside

if TYPE_CHECKING:
    from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceAsyncStub

OPEN = admission_of(Settings())
SEGMENT = "mobile_us_evening"
HOST = "127.0.0.1"
DETAILS = (BadRequest, ErrorInfo, RequestInfo, RetryInfo)


@asynccontextmanager
async def channel_to(
    outside: Outside, *, admission: Admission = OPEN
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to a server on a free port."""
    bandit = outside.service().bandit
    async with (
        listening(bandit, host=HOST, port=0, admission=admission, metrics=outside.metrics) as port,
        grpc.aio.insecure_channel(f"{HOST}:{port}") as channel,
    ):
        yield channel


@asynccontextmanager
async def calling(outside: Outside) -> AsyncIterator["BanditServiceAsyncStub"]:
    """A caller of a server on a free port."""
    async with channel_to(outside) as channel:
        yield cast("BanditServiceAsyncStub", BanditServiceStub(channel))


async def eventually(seen: Callable[[], object]) -> None:
    """Wait until something is to be seen."""
    for _ in range(1_000):
        if seen():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it was never seen")


async def under_way(outside: Outside) -> None:
    """Wait until a call has come as far as the posteriors."""
    await eventually(lambda: outside.posteriors.calls)


def send_raw(channel: grpc.aio.Channel, method: str, raw: bytes) -> Any:
    """A call of any bytes."""
    return cast("Any", channel).unary_unary(f"/{SERVICE}/{method}")(raw)


def posterior(alpha: float, beta: float, **fields: Any) -> PosteriorView:
    """What the store knows of an item."""
    known = {"version": 7, "log_time_ms": 1, "timestamp_ms": 5}
    return pretended.posterior(alpha, beta, **(known | fields))


def towards(place: int, *, size: float = 3.0) -> Any:
    """Weights that look at one feature."""
    return size * np.eye(64, dtype=np.float32)[place]


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """What a refusal says for code, by the name of its message."""
    told: dict[str, Any] = {}
    trailing = cast("Sequence[tuple[str, bytes]]", tuple(error.trailing_metadata() or ()))
    status = Status.FromString(dict(trailing)["grpc-status-details-bin"])
    for packed in status.details:
        for kind in DETAILS:
            if packed.Is(kind.DESCRIPTOR):
                packed.Unpack(one := kind())
                told[kind.DESCRIPTOR.name] = one
    return told
