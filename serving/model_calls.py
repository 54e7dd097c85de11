"""What calls of models have in common."""

import grpc
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferResult
from tritonclient.utils import InferenceServerException

from serving import spans
from stores.time_left import time_left

# Without these a channel waits up to two minutes before it looks for a server that came back, and
# goes on with a connection whose other end is silently gone.
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
]


class ModelUnavailableError(Exception):
    """The model server gave no answer that can be used; the same call may work later."""


def connected(address: str) -> InferenceServerClient:
    """A client that connects when it is used."""
    return InferenceServerClient(address, channel_args=CHANNEL)


async def inferred(client: InferenceServerClient, model: str, asked: InferInput) -> InferResult:
    """What a model answers in the time that is left, in whatever version is served.

    `ModelUnavailableError` where it doesn't.
    """
    try:
        return await client.infer(
            model, [asked], headers=spans.outgoing(), client_timeout=time_left()
        )
    except (InferenceServerException, grpc.RpcError) as error:
        raise ModelUnavailableError(f"model {model}: {error}") from error
