"""A user's vector, moved a little by each event towards or away from its item.

Algorithm 1 of the specification: an action's weight, decayed by the event's age over 24 hours,
times the learning rate, along the way from the user to the item, with momentum 0.9 kept for one
hour, and back to unit length. All times are event times: age counts from the latest event of this
user, so a replay learns the same.
"""

from dataclasses import dataclass, field
from math import exp, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from domain.events import ACTION_WEIGHTS
from schemas.collections import USER_DIM

Vector = NDArray[np.float32]
HalfVector = NDArray[np.float16]

LEARNING_RATE = 0.1
MOMENTUM = 0.9
MOMENTUM_LIFE_MS = 3_600_000
DECAY_MS = 24 * 3_600_000.0
# Below this length a vector has no direction that float32 could tell.
SHORTEST = 1e-6


@dataclass(slots=True, kw_only=True)
class UserEmbedding:
    """The vector with its version; version 0 has no direction yet. Changed in place by `learn`."""

    vector: Vector = field(default_factory=lambda: np.zeros(USER_DIM, dtype=np.float32))
    momentum: HalfVector | None = None
    momentum_at_ms: int = 0
    version: int = 0


def learn(
    embedding: UserEmbedding,
    *,
    action: str,
    item_vector: Vector,
    timestamp_ms: int,
    latest_ms: int,
) -> bool:
    """Move the vector by one event; False where it stays as it is.

    Nothing moves for an action without a weight, for a first event that speaks against an item
    (there is nowhere to move away from), and where the sum has no direction: user and step cancel
    each other out, or the item vector is not finite.

    >>> item = np.zeros(USER_DIM, dtype=np.float32)
    >>> item[0] = 1.0
    >>> user = UserEmbedding()
    >>> learn(user, action="purchase", item_vector=item, timestamp_ms=0, latest_ms=0)
    True
    >>> float(user.vector[0]), user.version
    (1.0, 1)
    """
    weight = ACTION_WEIGHTS.get(action, 0.0)
    if weight == 0.0 or (weight < 0.0 and embedding.version == 0):
        return False
    rate = LEARNING_RATE * weight * exp((timestamp_ms - latest_ms) / DECAY_MS)
    step = _with_momentum(embedding, _step(embedding.vector, item_vector, rate), latest_ms)
    moved = embedding.vector + step
    length = sqrt(float(moved @ moved))
    if not SHORTEST <= length < inf:
        return False
    np.divide(moved, np.float32(length), out=embedding.vector)
    embedding.momentum = step.astype(np.float16)
    embedding.momentum_at_ms = latest_ms
    embedding.version += 1
    return True


def _step(vector: Vector, item_vector: Vector, rate: float) -> Vector:
    step = item_vector - vector
    step *= np.float32(rate)
    return step


def _with_momentum(embedding: UserEmbedding, step: Vector, latest_ms: int) -> Vector:
    """Mix the last step in while it is fresh; `step` is changed in place."""
    if embedding.momentum is None or latest_ms - embedding.momentum_at_ms > MOMENTUM_LIFE_MS:
        return step
    step *= np.float32(1.0 - MOMENTUM)
    last = embedding.momentum.astype(np.float32)
    last *= np.float32(MOMENTUM)
    step += last
    return step
