"""The answer for a user of whom nothing is known (document 001, algorithm 5)."""

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.types import CandidateSource

Floats = NDArray[np.float32]

# Shares of popular items, trending ones, the best of many categories, and the newest.
SHARES: Mapping[str, float] = {"popular": 0.3, "trending": 0.2, "diverse": 0.3, "newest": 0.2}
SOURCE_OF: Mapping[str, CandidateSource] = {
    "popular": "popular",
    "trending": "trending",
    "diverse": "popular",
    "newest": "exploration",
}


def mix(lists: Mapping[str, Sequence[int]], *, count: int) -> dict[int, CandidateSource]:
    """`count` items without repeats: each list's share, then popular ones in place of what lacks.

    >>> lists = {"popular": [1, 2, 3, 4], "trending": [2, 5], "diverse": [1, 6], "newest": [7]}
    >>> mix(lists, count=5)
    {1: 'popular', 2: 'trending', 6: 'popular', 7: 'exploration', 3: 'popular'}
    """
    chosen: dict[int, CandidateSource] = {}
    for name, share in SHARES.items():
        _take(chosen, lists[name], max(1, int(count * share)), SOURCE_OF[name])
    _take(chosen, lists["popular"], count - len(chosen), "popular")
    return dict(list(chosen.items())[:count])


def one_of_each(rows: Iterable[int], groups: Sequence[Hashable]) -> list[int]:
    """The first row of each group, rows being in order of preference; `groups` goes by row.

    >>> one_of_each([2, 0, 1], ["mugs", "lamps", "mugs"])
    [2, 1]
    """
    first: dict[Hashable, int] = {}
    for row in rows:
        first.setdefault(groups[row], row)
    return list(first.values())


def light_score(popularity: Floats, *, quality: Floats, freshness: Floats) -> Floats:
    """The document's light ranking; popularity as a share of the greatest, all from 0 to 1.

    >>> half = np.full(1, 0.5, np.float32)
    >>> light_score(half, quality=half, freshness=half).tolist()
    [0.5]
    """
    score = 0.4 * popularity + 0.3 * quality + 0.3 * freshness
    return np.asarray(score, np.float32)


def _take(
    chosen: dict[int, CandidateSource], rows: Sequence[int], count: int, source: CandidateSource
) -> None:
    for row in rows:
        if count <= 0:
            return
        if row not in chosen:
            chosen[row] = source
            count -= 1
