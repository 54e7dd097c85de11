"""How like two items are: by what they are, by who meets them, and to one user's taste."""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.types import ItemEvent

Floats = NDArray[np.float32]
Evidence = Literal["content", "collaborative", "hybrid"]

# Nothing measured speaks for one over the other.
CONTENT_SHARE = 0.5
# Enough to order what is alike, too little to bring up what isn't.
PERSONAL_SHARE = 0.3
MOST_TAGS = 5


def of_the_best(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores as shares of the greatest, so that they can stand beside cosines.

    >>> of_the_best({"a": 0.02, "b": 0.01})
    {'a': 1.0, 'b': 0.5}
    """
    best = max(scores.values(), default=0.0)
    return {name: max(0.0, score / best) for name, score in scores.items()} if best > 0 else {}


def blended(content: Floats, together: Floats) -> Floats:
    """Half of each, for scores from 0 to 1; where one says nothing of any item, the other's alone.

    >>> both = blended(np.array([0.75, 0.25], np.float32), np.array([0.0, 1.0], np.float32))
    >>> both.tolist()
    [0.375, 0.625]
    >>> blended(np.array([0.5], np.float32), np.zeros(1, np.float32)).tolist()
    [0.5]
    """
    if not together.any():
        return content
    if not content.any():
        return together
    mixed: Floats = CONTENT_SHARE * content + np.float32(1 - CONTENT_SHARE) * together
    return mixed


def evidence_of(content: float, together: float) -> Evidence:
    """What speaks for an item's being like another.

    >>> evidence_of(0.5, 0.0), evidence_of(0.5, 0.5)
    ('content', 'hybrid')
    """
    if together > 0:
        return "hybrid" if content > 0 else "collaborative"
    return "content"


def personal(likeness: Floats, closeness: Floats) -> Floats:
    """Likeness to the item, with some of the closeness to the user; both from 0 to 1.

    >>> round(personal(np.array([0.5], np.float32), np.array([1.0], np.float32)).item(), 2)
    0.65
    """
    mixed: Floats = np.float32(1 - PERSONAL_SHARE) * likeness + PERSONAL_SHARE * closeness
    return mixed


def common_attributes(one: ItemEvent, other: ItemEvent) -> tuple[str, ...]:
    """What the catalogue says of both items alike.

    >>> mug = ItemEvent(item_id="a", updated_at_ms=1, category_id="mugs", tags=("red", "big"))
    >>> cup = ItemEvent(item_id="b", updated_at_ms=1, category_id="mugs", tags=("red",))
    >>> common_attributes(mug, cup)
    ('category:mugs', 'tag:red')
    """
    return tuple(_common(one, other))


def _common(one: ItemEvent, other: ItemEvent) -> Iterator[str]:
    theirs = _categories(other)
    yield from (f"category:{name}" for name in _categories(one) if name in theirs)
    for name, mine, yours in (
        ("creator", one.creator_id, other.creator_id),
        ("brand", one.brand_id, other.brand_id),
    ):
        if mine and mine == yours:
            yield f"{name}:{mine}"
    yield from [f"tag:{tag}" for tag in one.tags if tag in other.tags][:MOST_TAGS]


def _categories(item: ItemEvent) -> list[str]:
    return list(dict.fromkeys([*filter(None, [item.category_id]), *item.categories]))
