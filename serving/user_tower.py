"""Asks the model server where to look for what a user takes next."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.aio import InferInput

from domain.user_tower import INPUTS
from schemas.collections import USER_DIM
from serving.model_calls import ModelUnavailableError, connected, inferred

MODEL = "user_tower"
NOBODY = np.zeros(INPUTS, np.float32)
# A query this far from unit length is no direction, whatever gave it.
LENGTH_OFF = 1e-2

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector in the items' space of 512, and the model that gave it."""

    vector: Floats
    model_version: str


class UserTower:
    """The `user_tower` model of a Triton server."""

    def __init__(self, address: str) -> None:
        self._client = connected(address)

    async def direction(self, told: Floats) -> Direction:
        """Where a user is headed of whom this is known, or `ModelUnavailableError`."""
        asked = InferInput("INPUT", [1, len(told)], "FP32")
        asked.set_data_from_numpy(told[np.newaxis])
        result = await inferred(self._client, MODEL, asked)
        version = result.get_response().model_version
        return Direction(_direction(result.as_numpy("QUERY")), f"{MODEL}:{version}")

    async def probe(self) -> None:
        """Raise unless the model answers now."""
        await self.direction(NOBODY)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()


def _direction(rows: Floats | None) -> Floats:
    if rows is None or rows.shape != (1, USER_DIM):
        raise ModelUnavailableError(f"model {MODEL} gave no QUERY of {USER_DIM}; see its output")
    length = float(np.linalg.norm(rows[0]))
    if not abs(length - 1.0) < LENGTH_OFF:
        raise ModelUnavailableError(f"model {MODEL} gave a QUERY of length {length}, not 1")
    return np.asarray(rows[0], np.float32)
