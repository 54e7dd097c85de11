"""Candidates from what is met beside the user's latest items, as the live neighbours tell."""

from collections.abc import Mapping, Sequence

# Of a visit's items the last says most of what comes next; each before it counts this much less.
FADE = 0.8


def together(
    neighbors: Sequence[Sequence[tuple[str, float]]], *, fade: float = FADE
) -> dict[str, float]:
    """The chance of each item beside the latest ones, whose neighbours come newest first.

    A mean of their shares, so it stays one, from 0 to 1.

    >>> together([[("lamp", 0.5)], [("lamp", 0.25), ("mug", 0.75)]], fade=1.0)
    {'lamp': 0.375, 'mug': 0.375}
    """
    weights = [fade**place for place in range(len(neighbors))]
    total = sum(weights)
    chance: dict[str, float] = {}
    for weight, scored in zip(weights, neighbors, strict=True):
        for item_id, score in scored:
            chance[item_id] = chance.get(item_id, 0.0) + weight * score / total
    return chance


def most_likely(chance: Mapping[str, float], *, most: int) -> list[str]:
    """The items of the greatest chance, greatest first; equal ones by their names.

    >>> most_likely({"a": 0.1, "c": 0.5, "b": 0.5}, most=2)
    ['b', 'c']
    """
    return sorted(chance, key=lambda item_id: (-chance[item_id], item_id))[:most]
