"""What the user tower is told of a user, in a fixed order, and where its answer points.

The same names, order and arithmetic hold in serving and in training. The tower answers a unit
vector in the items' space of 512, so items need no other vectors than they have.
"""

import numpy as np
from numpy.typing import NDArray

from domain.ranking_features import Activity, recency
from schemas.collections import USER_DIM

Floats = NDArray[np.float32]

SCALARS = (
    *("has_embedding", "has_taste", "closeness"),
    *("log_events_1h", "log_events_24h", "log_interactions", "recency"),
)
INPUTS = 2 * USER_DIM + len(SCALARS)
NOTHING = np.zeros(USER_DIM, np.float32)


def tower_input(
    embedding: Floats | None, taste: Floats | None, activity: Activity, *, now_ms: int
) -> Floats:
    """The streamed embedding, the mean of the taste, and the scalars; what isn't known is 0.

    >>> east = np.eye(1, USER_DIM, dtype=np.float32)[0]
    >>> told = tower_input(east, east, Activity(interactions=1), now_ms=0)
    >>> len(told) == INPUTS, told[2 * USER_DIM :].round(2).tolist()
    (True, [1.0, 1.0, 1.0, 0.0, 0.0, 0.6899999976158142, 0.0])
    """
    told = np.zeros(INPUTS, np.float32)
    first = told[:USER_DIM] = NOTHING if embedding is None else embedding
    second = told[USER_DIM : 2 * USER_DIM] = NOTHING if taste is None else taste
    told[2 * USER_DIM :] = (
        embedding is not None,
        taste is not None,
        float(first @ second),
        *np.log1p((activity.events_1h, activity.events_24h, activity.interactions)),
        recency(activity.last_event_ms, now_ms),
    )
    return told
