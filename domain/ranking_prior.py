"""The ranker before anything was learned: a small wide & deep network with weights set by hand.

It says what is reasonable to believe beforehand: being met beside what the user met lately, and
likeness to it, count more than likeness to the long run, that more than being trending, and that
more than being popular; what the user buys again and again comes back, what was dismissed goes
away. The model server runs this same network as an ONNX file, and serving
evaluates it in-process while the model server is away.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.ranking_features import FEATURES

Floats = NDArray[np.float32]

BIAS = -2.5
WIDE: Mapping[str, float] = {
    "beside_latest": 2.5,
    "cosine_recent": 2.0,
    "cosine_long_term": 1.2,
    "cosine_nearest": 0.8,
    "cosine_last": 0.6,
    "category_share": 0.5,
    "trending": 0.5,
    "price_affinity": 0.3,
    "log_popularity": 0.08,
    "quality": 0.1,
    "freshness": 0.1,
    "log_seen": -0.3,
    "purchased": -0.5,
    "from_repeat": 1.5,
    "dismissed": -3.0,
}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A hidden unit: relu of weighted inputs over a threshold, and what it adds to the outcome."""

    inputs: Mapping[str, float]
    threshold: float
    adds: float


# Likeness above the ordinary counts double; likeness from two sides at once counts extra; what
# is both trending and like the user counts extra.
DEEP = (
    Unit(inputs={"cosine_recent": 1.0}, threshold=0.4, adds=1.5),
    Unit(inputs={"cosine_long_term": 1.0}, threshold=0.4, adds=0.8),
    Unit(inputs={"cosine_recent": 1.0, "cosine_long_term": 1.0}, threshold=0.8, adds=0.6),
    Unit(inputs={"cosine_recent": 1.0, "trending": 1.0}, threshold=0.8, adds=0.3),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """sigmoid(x·wide + relu(x·hidden + hidden_bias)·deep + bias)."""

    wide: Floats
    hidden: Floats
    hidden_bias: Floats
    deep: Floats
    bias: Floats

    def score(self, features: Floats) -> Floats:
        """A score between 0 and 1 for each row.

        >>> f"{prior_network().score(np.zeros((1, len(FEATURES)), np.float32))[0]:.3f}"
        '0.076'
        """
        active = np.maximum(features @ self.hidden + self.hidden_bias, 0)
        logit = features @ self.wide + active @ self.deep + self.bias
        scores: Floats = 1 / (1 + np.exp(-logit[:, 0]))
        return scores


def prior_network() -> Network:
    """The weights above as arrays, in the order of `FEATURES`."""
    return Network(
        wide=_column(WIDE),
        hidden=np.hstack([_column(unit.inputs) for unit in DEEP]),
        hidden_bias=np.array([-unit.threshold for unit in DEEP], np.float32),
        deep=np.array([[unit.adds] for unit in DEEP], np.float32),
        bias=np.array([BIAS], np.float32),
    )


def _column(weights: Mapping[str, float]) -> Floats:
    column = np.zeros((len(FEATURES), 1), np.float32)
    for name, weight in weights.items():
        column[FEATURES.index(name)] = weight
    return column
