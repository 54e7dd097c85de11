"""One item's state as bytes: a version byte first, little endian."""

from struct import Struct, error

from domain.item_state import ItemState

FORMAT_VERSION = 1
_CATALOG = 1
# version, flags, item version, catalogue's time, latest event, trending, events
_FIXED = Struct("<BBQqqdQ")


class ItemStateError(Exception):
    """Stored state can't be read."""


def encode_item_state(state: ItemState) -> bytes:
    """The bytes of a state.

    >>> len(encode_item_state(ItemState()))
    42
    """
    known = state.catalog_at_ms is not None
    return _FIXED.pack(
        FORMAT_VERSION,
        _CATALOG * known,
        state.version,
        state.catalog_at_ms or 0,
        state.latest_ms,
        state.trending,
        state.total_events,
    )


def decode_item_state(stored: bytes) -> ItemState:
    """The state in bytes, or `ItemStateError`.

    >>> decode_item_state(encode_item_state(ItemState(version=7))).version
    7
    """
    if stored[0] != FORMAT_VERSION:
        raise ItemStateError(
            f"item state of format {stored[0]}; this version reads {FORMAT_VERSION}: "
            "run the release that wrote it, or a newer one"
        )
    try:
        _, flags, version, catalog_at_ms, latest_ms, trending, events = _FIXED.unpack(stored)
    except error as problem:
        raise ItemStateError(f"{len(stored)} bytes of item state are damaged: {problem}") from None
    return ItemState(
        version=version,
        catalog_at_ms=catalog_at_ms if flags & _CATALOG else None,
        latest_ms=latest_ms,
        trending=trending,
        total_events=events,
    )
