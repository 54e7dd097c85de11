"""Asks the model server for scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.aio import InferInput

from domain.ranking_features import FEATURES
from serving.model_calls import ModelUnavailableError, connected, inferred

MODEL = "ranker"
ONE_ROW = np.zeros((1, len(FEATURES)), np.float32)


@dataclass(frozen=True, eq=False)
class Ranking:
    """A score between 0 and 1 for each row, and the model that gave it."""

    scores: NDArray[np.float32]
    model_version: str


class Ranker:
    """The `ranker` model of a Triton server."""

    def __init__(self, address: str) -> None:
        self._client = connected(address)

    async def rank(self, features: NDArray[np.float32]) -> Ranking:
        """Score each row of features in the time that is left, or `ModelUnavailableError`."""
        rows = InferInput("FEATURES", list(features.shape), "FP32")
        rows.set_data_from_numpy(features)
        result = await inferred(self._client, MODEL, rows)
        version = result.get_response().model_version
        scores = _scores(result.as_numpy("SCORE"), rows=len(features))
        return Ranking(scores=scores, model_version=f"{MODEL}:{version}")

    async def probe(self) -> None:
        """Raise unless the model answers now: a server may be ready while its model is not."""
        await self.rank(ONE_ROW)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()


def _scores(column: NDArray[np.float32] | None, *, rows: int) -> NDArray[np.float32]:
    if column is None or column.shape != (rows, 1) or column.dtype != np.float32:
        seen = None if column is None else (column.dtype.name, *column.shape)
        raise ModelUnavailableError(
            f"model {MODEL} gave {seen} for {rows} rows; its output SCORE has a float32 for each"
        )
    if not np.isfinite(column).all():
        raise ModelUnavailableError(f"model {MODEL} gave no finite scores; see its output SCORE")
    return np.clip(column[:, 0], 0.0, 1.0)
