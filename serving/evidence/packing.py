"""Columns of numbers as bytes: little endian, and once where all are the same."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]

# Any odd weights will do, if they differ: these are of the golden ratio.
EVEN, ODD = np.uint64(0x9E3779B97F4A7C16), np.uint64(0x9E3779B97F4A7C15)


def packed(values: Column, kind: str) -> bytes:
    """The numbers as they are kept.

    >>> packed(np.array([1.0, 1.0]), "<f8") == packed(np.array([1.0]), "<f8")
    True
    """
    column = np.ascontiguousarray(values, kind)
    # Bytes are compared, since numbers that are equal may differ in their sign, or be none.
    raw = column.tobytes()
    first = raw[: column.itemsize]
    return first if raw == first * len(column) else raw


def unpacked(stored: bytes, kind: str, *, count: int) -> Column:
    """So many numbers as they were; raises `ValueError` where others are there.

    >>> unpacked(packed(np.array([1.0, 1.0]), "<f8"), "<f8", count=2).tolist()
    [1.0, 1.0]
    """
    column = np.frombuffer(stored, kind)
    if len(column) == 1 != count:
        return np.repeat(column, count)
    if len(column) != count:
        raise ValueError(f"{len(column)} numbers of {kind} are kept; {count} belong there")
    return column


def packed_bits(mask: NDArray[np.bool_]) -> bytes:
    """A bit each, the first the highest."""
    return np.packbits(mask).tobytes()


def unpacked_bits(stored: bytes, *, count: int) -> NDArray[np.bool_]:
    """So many truths as they were; raises `ValueError` where others are there.

    >>> unpacked_bits(packed_bits(np.array([True, False])), count=2).tolist()
    [True, False]
    """
    if len(stored) != (count + 7) // 8:
        raise ValueError(f"{len(stored)} bytes of bits are kept; {(count + 7) // 8} belong there")
    return np.unpackbits(np.frombuffer(stored, np.uint8), count=count).astype(np.bool_)


def fingerprints(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """A number a vector of even length, by which a changed one is told; 0 for one of zeros.

    >>> fingerprints(np.zeros((1, 4), np.float32)).tolist()
    [0]
    """
    words = np.ascontiguousarray(vectors, "<f4").view("<u8")
    # Overflow is what mixes: whole numbers of 64 bits go round.
    return np.asarray(
        (words @ (np.arange(words.shape[1], dtype="<u8") * EVEN + ODD)).view(np.int64)
    )
