"""What is kept of an answer while its reactions are awaited, and of a reaction that waits.

Both have a form in bytes, little endian. Numbers are rounded when they come in, to what the bytes
hold, so that it makes no difference how often a state was written and read in between.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.types import Impression

MAX_ITEMS = 100
MAX_POSITION = 0xFFFF
EVERYBODY = "all"

_SIZE = Struct("<H")
_NO_TEXT = 0xFFFF
# times of showing, of the log and of closing, features, places, reactions
_SHOWING = Struct("<qqqBBB")
_PLACE = Struct("<HfB")
_REWARD = Struct("<Bd")
# reward, time of the log
_REACTION = Struct("<dq")


@dataclass(slots=True, kw_only=True)
class Showing:
    """One answer: what it showed where, and the best reaction to each place so far."""

    request_id: str
    segment: str
    timestamp_ms: int
    log_time_ms: int
    closes_ms: int
    features: NDArray[np.float16]
    item_ids: tuple[str, ...]
    positions: tuple[int, ...]
    propensities: array[float]
    explored: tuple[bool, ...]
    rewards: dict[int, float] = field(default_factory=dict)

    def place(self, item_id: str) -> int | None:
        """Where the item was shown, None if it wasn't."""
        return self.item_ids.index(item_id) if item_id in self.item_ids else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """What a user did with an item, with its reward."""

    event_id: str
    item_id: str
    request_id: str | None
    action: str
    reward: float
    log_time_ms: int


def showing_of(impression: Impression, *, log_time_ms: int, closes_ms: int) -> Showing:
    """What is kept of an impression: each item once, at its first place.

    >>> from schemas.types import ShownItem
    >>> shown = ShownItem(item_id="i1", rank=1, score=0.5, source="content")
    >>> answer = Impression(request_id="r", user_id="u", timestamp_ms=5, items=(shown, shown))
    >>> showing_of(answer, log_time_ms=7, closes_ms=1_807).item_ids
    ('i1',)
    """
    first = {item.item_id: item for item in reversed(impression.items[:MAX_ITEMS])}
    items = sorted(first.values(), key=lambda item: item.rank)
    return Showing(
        request_id=impression.request_id,
        segment=impression.context_segment or EVERYBODY,
        timestamp_ms=impression.timestamp_ms,
        log_time_ms=log_time_ms,
        closes_ms=closes_ms,
        features=np.array(impression.context_features[:255], dtype="<f2"),
        item_ids=tuple(item.item_id for item in items),
        positions=tuple(min(max(item.rank, 0), MAX_POSITION) for item in items),
        propensities=array("f", [item.propensity for item in items]),
        explored=tuple(item.source == "exploration" for item in items),
    )


def pack_showing(showing: Showing) -> Iterator[bytes]:
    """The parts of a showing's bytes."""
    yield _SHOWING.pack(
        showing.timestamp_ms,
        showing.log_time_ms,
        showing.closes_ms,
        len(showing.features),
        len(showing.item_ids),
        len(showing.rewards),
    )
    yield pack_text(showing.request_id)
    yield pack_text(showing.segment)
    yield showing.features.tobytes()
    for item_id, *place in zip(
        showing.item_ids, showing.positions, showing.propensities, showing.explored, strict=True
    ):
        yield pack_text(item_id)
        yield _PLACE.pack(*place)
    for place_and_reward in showing.rewards.items():
        yield _REWARD.pack(*place_and_reward)


def pack_reaction(reaction: Reaction) -> Iterator[bytes]:
    """The parts of a reaction's bytes."""
    yield _REACTION.pack(reaction.reward, reaction.log_time_ms)
    for text in (reaction.event_id, reaction.item_id, reaction.request_id, reaction.action):
        yield pack_text(text)


def pack_text(text: str | None) -> bytes:
    """A text behind its length in bytes; None has a length of its own."""
    if text is None:
        return _SIZE.pack(_NO_TEXT)
    raw = text.encode()
    return _SIZE.pack(len(raw)) + raw


class PackedReader:
    """Reads what the functions above have packed, from a place in the bytes onwards."""

    def __init__(self, stored: bytes, at: int) -> None:
        self._stored = stored
        self.at = at

    def showing(self) -> Showing:
        """The next showing."""
        timestamp_ms, log_time_ms, closes_ms, features, places, reactions = self.fields(_SHOWING)
        request_id, segment = self._given(), self._given()
        vector = np.frombuffer(self.take(2 * features), dtype="<f2")
        ids, shown = self._places(places)
        return Showing(
            request_id=request_id,
            segment=segment,
            timestamp_ms=timestamp_ms,
            log_time_ms=log_time_ms,
            closes_ms=closes_ms,
            features=vector,
            item_ids=ids,
            positions=tuple(position for position, _, _ in shown),
            propensities=array("f", [propensity for _, propensity, _ in shown]),
            explored=tuple(bool(explored) for _, _, explored in shown),
            rewards=dict([self.fields(_REWARD) for _ in range(reactions)]),
        )

    def reaction(self) -> Reaction:
        """The next reaction."""
        reward, log_time_ms = self.fields(_REACTION)
        return Reaction(
            event_id=self._given(),
            item_id=self._given(),
            request_id=self.text(),
            action=self._given(),
            reward=reward,
            log_time_ms=log_time_ms,
        )

    def fields(self, layout: Struct) -> tuple[Any, ...]:
        """The next numbers."""
        found = layout.unpack_from(self._stored, self.at)
        self.at += layout.size
        return found

    def text(self) -> str | None:
        """The next text."""
        (size,) = self.fields(_SIZE)
        return None if size == _NO_TEXT else self.take(size).decode()

    def take(self, size: int) -> bytes:
        """The next bytes."""
        chunk = self._stored[self.at : self.at + size]
        if len(chunk) != size:
            raise ValueError(f"{size} bytes expected at {self.at}, {len(chunk)} are there")
        self.at += size
        return chunk

    def end(self) -> None:
        """See that nothing is left."""
        if self.at != len(self._stored):
            raise ValueError(f"{len(self._stored) - self.at} bytes too many")

    def _places(self, count: int) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        ids, shown = [], []
        for _ in range(count):
            ids.append(self._given())
            shown.append(self.fields(_PLACE))
        return tuple(ids), shown

    def _given(self) -> str:
        text = self.text()
        if text is None:
            raise ValueError(f"a text is missing at {self.at}")
        return text
