"""Stored numbers are little endian, whatever the machine."""

from __future__ import annotations

import sys
from array import array
from typing import TypeVar

NumberT = TypeVar("NumberT", int, float)


def little_endian(numbers: array[NumberT]) -> array[NumberT]:
    """The numbers as they are stored, or the stored ones as this machine has them.

    >>> little_endian(array("H", [1])).tobytes()[0]
    1
    """
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
