from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.item_state import ItemState
from domain.item_state_codec import (
    FORMAT_VERSION,
    ItemStateError,
    decode_item_state,
    encode_item_state,
)

GOLDEN = Path(__file__).parent / "golden"
KNOWN = ItemState(version=3, catalog_at_ms=-7, latest_ms=1_700, trending=2000.25, total_events=2)
longs = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_ever_written_is_read(version: int) -> None:
    assert decode_item_state((GOLDEN / f"item_state_v{version}.bin").read_bytes()) == KNOWN


def test_what_is_written_now_is_what_the_file_holds() -> None:
    stored = (GOLDEN / f"item_state_v{FORMAT_VERSION}.bin").read_bytes()
    assert encode_item_state(KNOWN) == stored


@given(
    st.builds(
        ItemState,
        version=counts,
        catalog_at_ms=st.none() | longs,
        latest_ms=longs,
        trending=st.floats(allow_nan=False),
        total_events=counts,
    )
)
def test_reading_gives_back_what_was_written(state: ItemState) -> None:
    assert decode_item_state(encode_item_state(state)) == state


def test_another_version_is_named() -> None:
    stored = bytes([FORMAT_VERSION + 1]) + encode_item_state(KNOWN)[1:]
    with pytest.raises(ItemStateError, match="item state of format 2; this version reads 1"):
        decode_item_state(stored)


def test_damaged_bytes_are_named() -> None:
    with pytest.raises(ItemStateError, match="41 bytes of item state are damaged"):
        decode_item_state(encode_item_state(KNOWN)[:-1])
