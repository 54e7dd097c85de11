"""Candidates from several sources, as one set without repeats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.types import CandidateSource

Rows = NDArray[np.int64]

# The order is part of the ranking features.
SOURCES: tuple[CandidateSource, ...] = (
    *("collaborative", "content", "neighbour", "repeat", "trending", "popular"),
)
ABSENT = np.iinfo(np.int32).max


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidateSet:
    """Rows of the catalogue, and the place of each in each source's list, `ABSENT` if in none."""

    rows: Rows
    places: NDArray[np.int32]

    @property
    def from_sources(self) -> NDArray[np.bool_]:
        """Which source found which row."""
        return np.asarray(self.places != ABSENT, np.bool_)

    def sources(self) -> tuple[CandidateSource, ...]:
        """The source that places each row highest; on a tie the one that `SOURCES` names first."""
        return tuple(SOURCES[column] for column in self.places.argmin(axis=1).tolist())


def merge(found: Mapping[CandidateSource, Sequence[int] | Rows]) -> CandidateSet:
    """Each row once, with its place in each list.

    >>> both = merge({"collaborative": [7, 3], "trending": [3]})
    >>> both.rows.tolist(), both.sources()
    ([3, 7], ('trending', 'collaborative'))
    """
    lists = [np.asarray(found.get(source, ()), np.int64) for source in SOURCES]
    rows, inverse = np.unique(np.concatenate(lists), return_inverse=True)
    places = np.full((len(rows), len(SOURCES)), ABSENT, np.int32)
    start = 0
    for column, one in enumerate(lists):
        indices = inverse[start : start + len(one)]
        np.minimum.at(places[:, column], indices, np.arange(len(one), dtype=np.int32))
        start += len(one)
    return CandidateSet(rows=rows, places=places)
