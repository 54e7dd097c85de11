"""One item's state as bytes: a version byte first, little endian."""

from collections.abc import Sequence
from struct import Struct, error

import numpy as np

from domain.engagement import SPANS, TRENDING_HALF_LIVES_MS, Engagement
from domain.item_state import ItemState
from domain.neighbors import Neighbors
from domain.packed import PackedReader

FORMAT_VERSION = 2
_CATALOG, _ENGAGEMENT_MOVED, _NEIGHBORS_MOVED = 1, 2, 4
# version, flags, item version, catalogue's time, latest event, trending, events
_FIXED = Struct("<BBQqqdQ")
# log time, told, bytes of the item's id
_TELLING = Struct("<qqH")
# views, clicks, conversions, carts, dismissals, dwells, their time, completions, their sum, and
# how many segments follow
_TOTALS = Struct("<IIIIIIQIdB")
_SPAN = Struct("<B")
_BUCKET = Struct("<qIII")
_SEGMENT = Struct(f"<B{len(TRENDING_HALF_LIVES_MS)}d")
# version, landmark, latest, half-lives, neighbours, bytes of their names
_NEIGHBORS = Struct("<QqqBHI")


class ItemStateError(Exception):
    """Stored state can't be read."""


def encode_item_state(state: ItemState) -> bytes:
    """The bytes of a state.

    >>> len(encode_item_state(ItemState()))
    138
    """
    known = state.catalog_at_ms is not None
    flags = (
        _CATALOG * known
        | _ENGAGEMENT_MOVED * state.engagement_moved
        | _NEIGHBORS_MOVED * state.neighbors_moved
    )
    item_id = state.item_id.encode()
    return b"".join(
        (
            _FIXED.pack(
                FORMAT_VERSION,
                flags,
                state.version,
                state.catalog_at_ms or 0,
                state.latest_ms,
                state.trending,
                state.total_events,
            ),
            _TELLING.pack(state.log_time_ms, state.told_ms, len(item_id)),
            item_id,
            _engagement_bytes(state.engagement),
            _neighbors_bytes(state.neighbors),
        )
    )


def decode_item_state(stored: bytes) -> ItemState:
    """The state in bytes, of this format or an older one, or `ItemStateError`.

    >>> decode_item_state(encode_item_state(ItemState(version=7))).version
    7
    """
    if stored[0] not in (1, FORMAT_VERSION):
        raise ItemStateError(
            f"item state of format {stored[0]}; this version reads {FORMAT_VERSION} and older: "
            "run the release that wrote it, or a newer one"
        )
    try:
        return _state(PackedReader(stored))
    except (error, ValueError) as problem:
        raise ItemStateError(f"{len(stored)} bytes of item state are damaged: {problem}") from None


def _state(reader: PackedReader) -> ItemState:
    format_version, flags, version, catalog_at_ms, latest_ms, trending, events = reader.fields(
        _FIXED
    )
    state = ItemState(
        version=version,
        catalog_at_ms=catalog_at_ms if flags & _CATALOG else None,
        latest_ms=latest_ms,
        trending=trending,
        total_events=events,
        engagement_moved=bool(flags & _ENGAGEMENT_MOVED),
        neighbors_moved=bool(flags & _NEIGHBORS_MOVED),
    )
    if format_version > 1:
        state.log_time_ms, state.told_ms, size = reader.fields(_TELLING)
        state.item_id = reader.take(size).decode()
        state.engagement = _engagement(reader)
        state.neighbors = _neighbors(reader)
    reader.end()
    return state


def _engagement_bytes(seen: Engagement) -> bytes:
    parts = [
        _TOTALS.pack(
            seen.views,
            seen.clicks,
            seen.conversions,
            seen.carts,
            seen.dismissals,
            seen.dwells,
            seen.dwell_ms,
            seen.completions,
            seen.completion,
            len(seen.trends),
        )
    ]
    for buckets in seen.recent:
        parts.append(_SPAN.pack(len(buckets)))
        parts += [_BUCKET.pack(bucket, *counts) for bucket, counts in buckets.items()]
    for segment, weights in seen.trends.items():
        name = segment.encode()
        parts += [_SEGMENT.pack(len(name), *weights), name]
    return b"".join(parts)


def _engagement(reader: PackedReader) -> Engagement:
    views, clicks, conversions, carts, dismissals, *means, segments = reader.fields(_TOTALS)
    dwells, dwell_ms, completions, completion = means
    seen = Engagement(
        views=views,
        clicks=clicks,
        conversions=conversions,
        carts=carts,
        dismissals=dismissals,
        dwells=dwells,
        dwell_ms=dwell_ms,
        completions=completions,
        completion=completion,
        recent=tuple(_buckets(reader) for _ in SPANS),
    )
    for _ in range(segments):
        size, *weights = reader.fields(_SEGMENT)
        seen.trends[reader.take(size).decode()] = list(weights)
    return seen


def _buckets(reader: PackedReader) -> dict[int, list[int]]:
    (count,) = reader.fields(_SPAN)
    found = (reader.fields(_BUCKET) for _ in range(count))
    return {bucket: counts for bucket, *counts in found}


def _neighbors_bytes(neighbors: Neighbors) -> bytes:
    if not neighbors.version:
        return _NEIGHBORS.pack(0, 0, 0, 0, 0, 0)
    names = "".join(neighbors.places).encode()
    sizes = np.array([len(name) for name in neighbors.places], "<u2")
    return b"".join(
        (
            _NEIGHBORS.pack(
                neighbors.version,
                neighbors.landmark_ms,
                neighbors.latest_ms,
                len(neighbors.half_lives_ms),
                len(neighbors.places),
                len(names),
            ),
            np.array(neighbors.half_lives_ms, "<i8").tobytes(),
            np.array([neighbors.totals, neighbors.shares], "<f8").tobytes(),
            sizes.tobytes(),
            names,
            np.array(neighbors.weights, "<f4").tobytes(),
        )
    )


def _neighbors(reader: PackedReader) -> Neighbors:
    version, landmark_ms, latest_ms, kinds, count, size = reader.fields(_NEIGHBORS)
    if not version:
        return Neighbors()
    return Neighbors(
        half_lives_ms=tuple(reader.integers("q", kinds)),
        version=version,
        landmark_ms=landmark_ms,
        latest_ms=latest_ms,
        totals=reader.floats("d", kinds).tolist(),
        shares=reader.floats("d", kinds).tolist(),
        places=_places(reader.integers("H", count), reader.take(size)),
        weights=reader.floats("f", kinds * count),
    )


def _places(sizes: Sequence[int], names: bytes) -> dict[str, int]:
    """Sizes are in characters."""
    text, at, places = names.decode(), 0, {}
    for place, size in enumerate(sizes):
        places[text[at : at + size]] = place
        at += size
    if at != len(text) or len(places) != len(sizes):
        raise ValueError(f"names of {at} characters in {len(text)}")
    return places
