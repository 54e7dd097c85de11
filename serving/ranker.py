"""Asks the model server for scores."""

from dataclasses import dataclass

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from domain.ranking_features import FEATURES
from stores.time_left import time_left

MODEL = "ranker"
ONE_ROW = np.zeros((1, len(FEATURES)), np.float32)

# Without these a channel waits up to two minutes before it looks for a server that came back, and
# goes on with a connection whose other end is silently gone.
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
]


class RankerUnavailableError(Exception):
    """The model server gave no scores; the same call may work later."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """A score between 0 and 1 for each row, and the model that gave it."""

    scores: NDArray[np.float32]
    model_version: str


class Ranker:
    """The `ranker` model of a Triton server."""

    def __init__(self, address: str) -> None:
        self._client = InferenceServerClient(address, channel_args=CHANNEL)

    async def rank(self, features: NDArray[np.float32]) -> Ranking:
        """Score each row of features in the time that is left, or `RankerUnavailableError`."""
        rows = InferInput("FEATURES", list(features.shape), "FP32")
        rows.set_data_from_numpy(features)
        try:
            result = await self._client.infer(MODEL, [rows], client_timeout=time_left())
        except (InferenceServerException, grpc.RpcError) as error:
            raise RankerUnavailableError(f"model {MODEL}: {error}") from error
        version = result.get_response().model_version
        return Ranking(scores=_scores(result.as_numpy("SCORE")), model_version=f"{MODEL}:{version}")

    async def probe(self) -> None:
        """Raise unless the model answers now: a server may be ready while its model is not."""
        await self.rank(ONE_ROW)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()


def _scores(column: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if column is None or not np.isfinite(column).all():
        raise RankerUnavailableError(f"model {MODEL} gave no finite scores; see its output SCORE")
    return np.clip(column[:, 0], 0.0, 1.0)
