"""What must be remembered of one item, and how messages change it.

What changes rarely, the catalogue entry with its vectors, leaves apart from what moves with each
event. Each is whole by itself, because of a compacted topic only an item's last message is left;
so the entry need not be remembered at all.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from domain.events import EventLimits, Refusal
from domain.fusion import FusionError, fuse, retrieval_vector
from domain.popularity import NOTHING, add_weight, popularity_at, popularity_weight
from schemas.collections import ID_MAX_LENGTH, MODALITY_DIM
from schemas.types import ItemEvent, ItemPopularity, ItemSignal, ItemSnapshot

MODALITIES = ("text", "image", "audio", "video")


@dataclass(slots=True, kw_only=True)
class ItemState:
    """One item, changed in place.

    `version` counts the changes of the catalogue, `total_events` those of the popularity: with one
    count for both, versions would depend on the order in which the two topics happen to be read.
    """

    version: int = 0
    catalog_at_ms: int | None = None
    latest_ms: int = 0
    trending: float = NOTHING
    total_events: int = 0


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
        seen = "no key" if key is None else f"key {key[:80]!r}"
        return Refusal("wrong_key", f"{seen}; the message key must be the item_id, as UTF-8")
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


def apply_item(state: ItemState, item: ItemEvent, *, log_time_ms: int) -> ItemSnapshot | None:
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
        vector=_as_bytes(retrieval_vector(vectors)) if vectors else None,
        unified=_as_bytes(fuse(vectors)) if vectors else None,
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


def _vectors(item: ItemEvent) -> dict[str, NDArray[np.float32]]:
    found = {name: getattr(item, f"{name}_embedding") for name in MODALITIES}
    return {name: np.frombuffer(raw, dtype="<f4") for name, raw in found.items() if raw is not None}


def _vector_refusal(item: ItemEvent) -> Refusal | None:
    for name in MODALITIES:
        raw = getattr(item, f"{name}_embedding")
        if raw is not None and len(raw) != 4 * MODALITY_DIM:
            return Refusal(
                "bad_vector",
                f"{name}_embedding has {len(raw)} bytes; {MODALITY_DIM} float32 are "
                f"{4 * MODALITY_DIM}",
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
