from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.engagement import Engagement
from domain.item_state import ItemState
from domain.item_state_codec import (
    FORMAT_VERSION,
    ItemStateError,
    decode_item_state,
    encode_item_state,
)
from domain.neighbors import NEVER_MS, Neighbors, meet

GOLDEN = Path(__file__).parent / "golden"
BEFORE = ItemState(version=3, catalog_at_ms=-7, latest_ms=1_700, trending=2000.25, total_events=2)


def known() -> ItemState:
    state = replace(BEFORE, item_id="çup", log_time_ms=1_800, told_ms=1_750, neighbors_moved=True)
    state.engagement = Engagement(
        views=7,
        clicks=3,
        conversions=2,
        carts=1,
        dismissals=4,
        dwells=2,
        dwell_ms=9_000,
        completions=2,
        completion=1.5,
        recent=({-3: [1, 2, 3]}, {0: [4, 0, 0], 1: [0, 0, 5]}),
        trends={"all": [1.0, 2.0, 3.0], "country:DE": [0.5, 0.25, 0.125]},
    )
    state.neighbors = Neighbors(
        half_lives_ms=(1_000, NEVER_MS),
        version=2,
        landmark_ms=1_600,
        latest_ms=1_700,
        places={"säucer": 0, "lamp": 1},
        weights=array("f", [1.0, 1.0, 0.75, 0.625]),
        totals=[1.75, 1.625],
        shares=[0.25, 0.75],
    )
    return state


KNOWN = {1: BEFORE, 2: known()}
longs = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_version_ever_written_is_read(version: int) -> None:
    assert decode_item_state((GOLDEN / f"item_state_v{version}.bin").read_bytes()) == KNOWN[version]


def test_what_is_written_now_is_what_the_file_holds() -> None:
    stored = (GOLDEN / f"item_state_v{FORMAT_VERSION}.bin").read_bytes()
    assert encode_item_state(KNOWN[FORMAT_VERSION]) == stored


def company(met: list[tuple[str, int]]) -> Neighbors:
    neighbors = Neighbors()
    for other, at_ms in met:
        meet(neighbors, [other], [0.3], timestamp_ms=at_ms)
    return neighbors


@given(
    st.builds(
        ItemState,
        version=counts,
        catalog_at_ms=st.none() | longs,
        latest_ms=longs,
        trending=st.floats(allow_nan=False),
        total_events=counts,
        item_id=st.text(max_size=50),
        told_ms=longs,
        engagement_moved=st.booleans(),
        neighbors=st.lists(st.tuples(st.text(max_size=9), st.integers(0, 10**13))).map(company),
    )
)
def test_reading_gives_back_what_was_written(state: ItemState) -> None:
    assert decode_item_state(encode_item_state(state)) == state


def test_another_version_is_named() -> None:
    stored = bytes([FORMAT_VERSION + 1]) + encode_item_state(BEFORE)[1:]
    with pytest.raises(
        ItemStateError, match="item state of format 3; this version reads 2 and older"
    ):
        decode_item_state(stored)


@pytest.mark.parametrize("version", KNOWN)
def test_damaged_bytes_are_named(version: int) -> None:
    stored = (GOLDEN / f"item_state_v{version}.bin").read_bytes()
    for damaged in (stored[:-1], stored + b"x", stored[:30]):
        with pytest.raises(ItemStateError, match=f"{len(damaged)} bytes of item state are damaged"):
            decode_item_state(damaged)


def test_a_full_item_stays_small() -> None:
    state = ItemState(item_id="4d8aa0d0-8d3c-4a4e-9a8e-1f5f7c7c2f10")
    for number in range(200):
        meet(state.neighbors, [f"{number:036d}"], [1.0], timestamp_ms=number)
    assert len(encode_item_state(state)) < 4_000
