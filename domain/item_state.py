"""What must be remembered of one item, and how messages change it.

What changes rarely, the catalogue entry with its vectors, leaves apart from what moves with each
event. Each is whole by itself, because of a compacted topic only an item's last message is left;
so the entry need not be remembered at all.

What is long and moves often, engagement and neighbours, leaves at once where the item was quiet and
else at most once in `TELL_EVERY_MS` of log time. Everything is counted at once; only telling waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from domain.engagement import Engagement, engage, engagement_record
from domain.events import EventLimits, Refusal
from domain.fusion import LARGEST_MODALITY_DIM, Fusion, FusionError, fuse, retrieval_vector
from domain.neighbors import SIZE, Neighbors, meet, ranked
from domain.popularity import NOTHING, add_weight, popularity_at, popularity_weight
from schemas.collections import ID_MAX_LENGTH, MODALITY_DIM
from schemas.topics import ITEMS
from schemas.types import (
    ItemEngagement,
    ItemEvent,
    ItemNeighbors,
    ItemPair,
    ItemPopularity,
    ItemSignal,
    ItemSnapshot,
)

MODALITIES = ("text", "image", "audio", "video")
TELL_EVERY_MS = 1_000
LONG_AGO_MS = -(2**62)


@dataclass(slots=True, kw_only=True)
class ItemState:
    """One item, changed in place.

    `version` counts the changes of the catalogue, `total_events` those of the popularity: with one
    count for both, versions would depend on the order in which the two topics happen to be read.
    `told_ms` is when engagement and neighbours were last told, and the flags say which of them have
    changed since; both by log time.
    """

    item_id: str = ""
    version: int = 0
    catalog_at_ms: int | None = None
    latest_ms: int = 0
    trending: float = NOTHING
    total_events: int = 0
    log_time_ms: int = 0
    told_ms: int = LONG_AGO_MS
    engagement_moved: bool = False
    neighbors_moved: bool = False
    engagement: Engagement = field(default_factory=Engagement)
    neighbors: Neighbors = field(default_factory=Neighbors)


def item_refusal(
    item: ItemEvent, *, key: bytes | None, log_time_ms: int, limits: EventLimits
) -> Refusal | None:
    """Why this catalogue message can't be used, None where it can.

    >>> item = ItemEvent(item_id="i1", updated_at_ms=0)
    >>> item_refusal(item, key=b"i2", log_time_ms=0, limits=EventLimits()).reason
    'wrong_key'
    """
    return (
        _identity_refusal(item, key)
        or _time_refusal(item, log_time_ms, limits)
        or _vector_refusal(item)
    )


def _identity_refusal(item: ItemEvent, key: bytes | None) -> Refusal | None:
    if not item.item_id:
        return Refusal("empty_id", "item_id is empty; each item needs one")
    if key != item.item_id.encode():
        return Refusal("wrong_key", ITEMS.complaint(key))
    if len(item.item_id.encode()) > ID_MAX_LENGTH:
        return Refusal("too_long", f"item_id has more than {ID_MAX_LENGTH} bytes")
    if item.price is not None and not (np.isfinite(item.price) and item.price >= 0):
        return Refusal("bad_price", f"price is {item.price}; a finite number, 0 or more")
    return None


def _time_refusal(item: ItemEvent, log_time_ms: int, limits: EventLimits) -> Refusal | None:
    """A change from the future would bar every later one."""
    ahead_ms = item.updated_at_ms - log_time_ms
    if ahead_ms <= limits.max_ahead_ms:
        return None
    return Refusal(
        "in_future",
        f"updated_at_ms is {ahead_ms} ms ahead of the log's {log_time_ms}; "
        f"at most {limits.max_ahead_ms} allowed",
    )


def apply_item(
    state: ItemState, item: ItemEvent, *, log_time_ms: int, fusion: Fusion | None = None
) -> ItemSnapshot | None:
    """Take in a catalogue message; None where a newer one is known.

    >>> state = ItemState()
    >>> new = ItemEvent(item_id="i1", updated_at_ms=2_000, title="Lamp")
    >>> apply_item(state, new, log_time_ms=2_100).catalog.title
    'Lamp'
    >>> old = ItemEvent(item_id="i1", updated_at_ms=1_000, title="Lmap")
    >>> apply_item(state, old, log_time_ms=2_200) is None
    True
    """
    if state.catalog_at_ms is not None and item.updated_at_ms < state.catalog_at_ms:
        return None
    state.catalog_at_ms = item.updated_at_ms
    state.version += 1
    bare = ItemSnapshot(
        item_id=item.item_id,
        version=state.version,
        timestamp_ms=item.updated_at_ms,
        log_time_ms=log_time_ms,
    )
    if item.operation == "delete":
        return replace(bare, deleted=True)
    vectors = _vectors(item)
    return replace(
        bare,
        catalog=_without_vectors(item),
        modalities=tuple(vectors),
        vector=_as_bytes(retrieval_vector(vectors, fusion=fusion)) if vectors else None,
        unified=_as_bytes(fuse(vectors, fusion=fusion)) if vectors else None,
    )


def apply_signal(state: ItemState, signal: ItemSignal, *, half_life_ms: int) -> ItemPopularity:
    """Take in an event around the item.

    >>> state = ItemState()
    >>> click = ItemSignal(item_id="i1", event_id="e1", user_id="u1", event_type="click",
    ...                    timestamp_ms=5_000_000, log_time_ms=5_000_100)
    >>> round(apply_signal(state, click, half_life_ms=1_000).popularity, 6)
    0.3
    """
    state.trending = add_weight(
        state.trending,
        weight=popularity_weight(signal.event_type),
        timestamp_ms=signal.timestamp_ms,
        half_life_ms=half_life_ms,
    )
    at_ms = state.latest_ms = max(state.latest_ms, signal.timestamp_ms)
    state.total_events += 1
    engage(state.engagement, signal, latest_ms=at_ms)
    state.engagement_moved = True
    return ItemPopularity(
        item_id=signal.item_id,
        version=state.total_events,
        timestamp_ms=signal.timestamp_ms,
        log_time_ms=signal.log_time_ms,
        popularity=popularity_at(state.trending, at_ms=at_ms, half_life_ms=half_life_ms),
        popularity_at_ms=at_ms,
        trending=state.trending,
        total_events=state.total_events,
    )


def apply_pair(state: ItemState, pair: ItemPair, *, size: int = SIZE) -> None:
    """Take in items that were met beside this one.

    >>> state = ItemState()
    >>> apply_pair(state, ItemPair(item_id="cup", event_id="e1", timestamp_ms=1, log_time_ms=2,
    ...                            others=("saucer",), weights=(0.3,)))
    >>> state.neighbors.version, state.neighbors_moved
    (1, True)
    """
    meet(state.neighbors, pair.others, pair.weights, timestamp_ms=pair.timestamp_ms, size=size)
    state.neighbors_moved = True


def telling_due_ms(state: ItemState, *, every_ms: int = TELL_EVERY_MS) -> int | None:
    """The log time at which what moved has to be told, None where nothing did.

    >>> telling_due_ms(ItemState(told_ms=5_000, neighbors_moved=True))
    6000
    """
    return state.told_ms + every_ms if state.engagement_moved or state.neighbors_moved else None


def tell(
    state: ItemState, *, at_ms: int, size: int = SIZE
) -> Sequence[ItemEngagement | ItemNeighbors]:
    """What moved since it was last told.

    >>> tell(ItemState(), at_ms=7)
    []
    """
    told: list[ItemEngagement | ItemNeighbors] = []
    if state.engagement_moved:
        told.append(
            engagement_record(
                state.engagement,
                item_id=state.item_id,
                version=state.total_events,
                latest_ms=state.latest_ms,
                log_time_ms=state.log_time_ms,
            )
        )
    if state.neighbors_moved:
        told.append(_neighbors_record(state, size))
    state.engagement_moved = state.neighbors_moved = False
    state.told_ms = at_ms
    return told


def _neighbors_record(state: ItemState, size: int) -> ItemNeighbors:
    neighbors = state.neighbors
    best = ranked(neighbors, size)
    return ItemNeighbors(
        item_id=state.item_id,
        version=neighbors.version,
        timestamp_ms=neighbors.latest_ms,
        log_time_ms=state.log_time_ms,
        neighbors=tuple(name for name, _ in best),
        scores=tuple(score for _, score in best),
        half_lives_ms=neighbors.half_lives_ms,
        half_life_shares=tuple(neighbors.shares),
    )


def _vectors(item: ItemEvent) -> dict[str, NDArray[np.float32]]:
    found = {name: getattr(item, f"{name}_embedding") for name in MODALITIES}
    return {name: np.frombuffer(raw, dtype="<f4") for name, raw in found.items() if raw is not None}


def _is_vector(raw: bytes) -> bool:
    count, rest = divmod(len(raw), 4)
    return rest == 0 and MODALITY_DIM <= count <= LARGEST_MODALITY_DIM


def _vector_refusal(item: ItemEvent) -> Refusal | None:
    for name in MODALITIES:
        raw = getattr(item, f"{name}_embedding")
        if raw is not None and not _is_vector(raw):
            return Refusal(
                "bad_vector",
                f"{name}_embedding has {len(raw)} bytes; {MODALITY_DIM} to {LARGEST_MODALITY_DIM} "
                f"float32 are {4 * MODALITY_DIM} to {4 * LARGEST_MODALITY_DIM}",
            )
    try:
        vectors = _vectors(item)
        if vectors:
            fuse(vectors)
    except FusionError as error:
        return Refusal("bad_vector", str(error))
    return None


def _without_vectors(item: ItemEvent) -> ItemEvent:
    return replace(
        item, text_embedding=None, image_embedding=None, audio_embedding=None, video_embedding=None
    )


def _as_bytes(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4", copy=False).tobytes()
