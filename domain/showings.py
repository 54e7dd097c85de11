"""What is kept of an answer while its reactions are awaited, and of a reaction that waits.

Both have a form in bytes, little endian. What an answer showed is kept as bytes, and read only when
somebody reacts or its time is over: most events concern none of the answers that are open. So it
makes no difference either how often a state was written and read in between: positions are whole
numbers of 16 bits, propensities float32 and features float16 from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct, pack, unpack

import numpy as np

from domain.packed import PackedReader, pack_text
from schemas.types import Impression, ShownItem

MAX_ITEMS = 100
MAX_FEATURES = 255
MAX_POSITION = 0xFFFF
EVERYBODY = "all"

# times of the log and of closing, reactions, bytes of what was shown
_SHOWING = Struct("<qqBI")
_REWARD = Struct("<Bd")
# time of showing, features, items
_SHOWN = Struct("<qBB")
# reward, time of the log
_REACTION = Struct("<dq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an answer showed, a column an attribute, each item once."""

    segment: str
    timestamp_ms: int
    features: tuple[float, ...]
    item_ids: tuple[str, ...]
    positions: tuple[int, ...]
    propensities: tuple[float, ...]
    explored: tuple[bool, ...]


@dataclass(slots=True, kw_only=True)
class Showing:
    """One answer, and the best reaction to each of its places so far."""

    request_id: str
    log_time_ms: int
    closes_ms: int
    packed: bytes
    rewards: dict[int, float] = field(default_factory=dict)
    _shown: Shown | None = None

    @property
    def shown(self) -> Shown:
        """What it showed; read once."""
        if self._shown is None:
            self._shown = _unpacked(self.packed)
        return self._shown

    def place(self, item_id: str) -> int | None:
        """Where the item was shown, None if it wasn't."""
        ids = self.shown.item_ids
        return ids.index(item_id) if item_id in ids else None


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

    >>> shown = ShownItem(item_id="i1", rank=1, score=0.5, source="content")
    >>> answer = Impression(request_id="r", user_id="u", timestamp_ms=5, items=(shown, shown))
    >>> showing_of(answer, log_time_ms=7, closes_ms=1_807).shown.item_ids
    ('i1',)
    """
    return Showing(
        request_id=impression.request_id,
        log_time_ms=log_time_ms,
        closes_ms=closes_ms,
        packed=b"".join(_packed(impression)),
    )


def pack_showing(showing: Showing) -> Iterator[bytes]:
    """The parts of a showing's bytes."""
    sizes = (len(showing.rewards), len(showing.packed))
    yield _SHOWING.pack(showing.log_time_ms, showing.closes_ms, *sizes)
    yield pack_text(showing.request_id)
    for place_and_reward in showing.rewards.items():
        yield _REWARD.pack(*place_and_reward)
    yield showing.packed


def pack_reaction(reaction: Reaction) -> Iterator[bytes]:
    """The parts of a reaction's bytes."""
    yield _REACTION.pack(reaction.reward, reaction.log_time_ms)
    for text in (reaction.event_id, reaction.item_id, reaction.request_id, reaction.action):
        yield pack_text(text)


def next_showing(reader: PackedReader) -> Showing:
    """Read what `pack_showing` wrote."""
    log_time_ms, closes_ms, reactions, size = reader.fields(_SHOWING)
    return Showing(
        request_id=reader.given(),
        log_time_ms=log_time_ms,
        closes_ms=closes_ms,
        rewards=dict([reader.fields(_REWARD) for _ in range(reactions)]),
        packed=reader.take(size),
    )


def next_reaction(reader: PackedReader) -> Reaction:
    """Read what `pack_reaction` wrote."""
    reward, log_time_ms = reader.fields(_REACTION)
    return Reaction(
        event_id=reader.given(),
        item_id=reader.given(),
        request_id=reader.text(),
        action=reader.given(),
        reward=reward,
        log_time_ms=log_time_ms,
    )


def _packed(impression: Impression) -> Iterator[bytes]:
    items = _each_once(impression.items)
    features = _halves(impression.context_features[:MAX_FEATURES])
    ids = [item.item_id.encode() for item in items]
    many = len(items)
    yield _SHOWN.pack(impression.timestamp_ms, len(features) // 2, many)
    yield pack_text(impression.context_segment or EVERYBODY)
    yield features
    yield pack(f"<{many}H", *map(len, ids))
    yield b"".join(ids)
    yield pack(f"<{many}H", *(min(max(item.rank, 0), MAX_POSITION) for item in items))
    yield pack(f"<{many}f", *(item.propensity for item in items))
    yield bytes(item.source == "exploration" for item in items)


def _unpacked(stored: bytes) -> Shown:
    reader = PackedReader(stored)
    timestamp_ms, features, many = reader.fields(_SHOWN)
    return Shown(
        timestamp_ms=timestamp_ms,
        segment=reader.given(),
        features=unpack(f"<{features}e", reader.take(2 * features)),
        item_ids=tuple([reader.take(size).decode() for size in reader.integers("H", many)]),
        positions=tuple(reader.integers("H", many)),
        propensities=tuple(reader.floats("f", many)),
        explored=tuple(map(bool, reader.take(many))),
    )


def _each_once(items: tuple[ShownItem, ...]) -> list[ShownItem]:
    first: dict[str, ShownItem] = {}
    for item in items[:MAX_ITEMS]:
        first.setdefault(item.item_id, item)
    return list(first.values())


def _halves(features: tuple[float, ...]) -> bytes:
    return np.clip(np.array(features, np.float32), -1.0, 1.0).astype("<f2").tobytes()
