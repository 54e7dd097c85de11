from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from serving.evidence.packing import (
    fingerprints,
    packed,
    packed_bits,
    unpacked,
    unpacked_bits,
)

KINDS = ("<f8", "<f4", "<i8", "<i2")
columns = st.sampled_from(KINDS).flatmap(lambda kind: arrays(kind, st.integers(0, 40)))


@given(columns)
def test_what_is_packed_comes_back_bit_by_bit(column: NDArray[Any]) -> None:
    kind = column.dtype.str
    again = unpacked(packed(column, kind), kind, count=len(column))
    assert again.tobytes() == column.tobytes()
    assert len(again) == len(column)


@given(st.floats(width=32), st.integers(1, 200))
def test_the_same_number_many_times_is_kept_once(value: float, count: int) -> None:
    column = np.full(count, value, np.float32)
    stored = packed(column, "<f4")
    assert len(stored) == 4
    assert unpacked(stored, "<f4", count=count).tobytes() == column.tobytes()


def test_zeros_of_both_signs_are_not_the_same() -> None:
    assert len(packed(np.array([0.0, -0.0]), "<f8")) == 16


@given(st.lists(st.booleans(), max_size=40))
def test_bits_come_back(mask: list[bool]) -> None:
    stored = packed_bits(np.array(mask, np.bool_))
    assert unpacked_bits(stored, count=len(mask)).tolist() == mask


def test_another_count_is_refused() -> None:
    with pytest.raises(ValueError, match="2 numbers of <f8 are kept; 3 belong there"):
        unpacked(packed(np.array([1.0, 2.0]), "<f8"), "<f8", count=3)
    with pytest.raises(ValueError, match="1 bytes of bits are kept; 2 belong there"):
        unpacked_bits(packed_bits(np.ones(8, np.bool_)), count=9)


@given(arrays(np.float32, (3, 8)), st.integers(0, 7))
def test_a_changed_number_changes_the_fingerprint_of_its_vector_alone(
    vectors: NDArray[Any], at: int
) -> None:
    other = vectors.copy()
    other.view(np.uint32)[1, at] ^= 1
    assert (fingerprints(vectors) == fingerprints(other)).tolist() == [True, False, True]


def test_fingerprints_are_for_good() -> None:
    vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert fingerprints(vectors).tolist() == [-4619217626906755072, 4987299016761933824]
    assert fingerprints(np.zeros((0, 4), np.float32)).tolist() == []


def test_numbers_that_change_places_change_the_fingerprint() -> None:
    vectors = np.array([[1, 2, 3, 4], [3, 4, 1, 2]], np.float32)
    first, second = fingerprints(vectors).tolist()
    assert first != second
