"""The plain types of Avro as bytes: what `binary.py` is put together from.

Writers answer bytes. Readers answer the value and where it ends; bytes that can't be right, and
those that Avro allows but no writer of ours makes, end in an exception, and `codec.py` asks
fastavro what is to be thought of them.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import Struct, pack, unpack_from
from typing import TypeVar

Value = TypeVar("Value")

NULL, PRESENT, END = b"\x00", b"\x02", b"\x00"
INT_LIMIT, LONG_LIMIT = 1 << 31, 1 << 63
# Of an event and what follows from it the same ids and times are written again and again.
_KEPT, _KEPT_SIZE = 4_096, 64

_DOUBLE, _FLOAT = Struct("<d"), Struct("<f")


@lru_cache(_KEPT)
def long(number: int) -> bytes:
    """A whole number of 64 bits: zigzag, seven bits a byte, the lowest first."""
    if not -LONG_LIMIT <= number < LONG_LIMIT:
        raise OverflowError(f"{number} is not of 64 bits")
    left, found = number << 1 if number >= 0 else ~(number << 1), bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def int_(number: int) -> bytes:
    """A whole number of 32 bits."""
    if not -INT_LIMIT <= number < INT_LIMIT:
        raise OverflowError(f"{number} is not of 32 bits")
    return long(number)


def text(value: str) -> bytes:
    """A text as UTF-8 behind its length."""
    return _short_text(value) if len(value) <= _KEPT_SIZE else blob(value.encode())


@lru_cache(_KEPT)
def _short_text(value: str) -> bytes:
    return blob(value.encode())


def blob(value: bytes) -> bytes:
    """Bytes behind their length."""
    return long(len(value)) + value


_TRUTHS = {0: False, 1: True}
_TRUTH_BYTES = {False: b"\x00", True: b"\x01"}


def boolean(value: bool) -> bytes:  # noqa: FBT001
    """One byte."""
    return _TRUTH_BYTES[value]


def float_(value: float) -> bytes:
    """Four bytes."""
    return _FLOAT.pack(value)


def double(value: float) -> bytes:
    """Eight bytes."""
    return _DOUBLE.pack(value)


def array(values: tuple[Value, ...], write: Callable[[Value], bytes]) -> bytes:
    """All values in one block."""
    return b"".join((long(len(values)), *map(write, values), END)) if values else END


def floats(values: tuple[float, ...]) -> bytes:
    """An array of floats."""
    return long(len(values)) + pack(f"<{len(values)}f", *values) + END if values else END


def mapping(values: Mapping[str, Value], write: Callable[[Value], bytes]) -> bytes:
    """All entries in one block."""
    if not values:
        return END
    return b"".join(
        (long(len(values)), *(text(key) + write(one) for key, one in values.items()), END)
    )


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """A whole number."""
    byte = data[at]
    found, shift = byte & 0x7F, 0
    while byte > 0x7F:
        at += 1
        shift += 7
        byte = data[at]
        found |= (byte & 0x7F) << shift
    if found >= LONG_LIMIT << 1:
        raise OverflowError(f"a number of {found.bit_length()} bits")
    return (found >> 1) ^ -(found & 1), at + 1


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """A text."""
    raw, at = read_blob(data, at)
    return raw.decode(), at


def read_blob(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes. Where some are missing the place after them is beyond the end."""
    size = data[at]
    if size > 0x7F or size & 1:
        size, at = read_long(data, at)
        if size < 0:
            raise ValueError(f"a size of {size}")
    else:
        size, at = size >> 1, at + 1
    end = at + size
    return data[at:end], end


def read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    """A truth value."""
    return _TRUTHS[data[at]], at + 1


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """A number in single precision."""
    return _FLOAT.unpack_from(data, at)[0], at + 4


def read_double(data: bytes, at: int) -> tuple[float, int]:
    """A number in double precision."""
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def read_some(
    data: bytes, at: int, read: Callable[[bytes, int], tuple[Value, int]]
) -> tuple[Value, int]:
    """What may be null and isn't."""
    if data[at] != PRESENT[0]:
        raise ValueError(f"{data[at]} names neither null nor the other type")
    return read(data, at + 1)


def read_array(
    data: bytes, at: int, read: Callable[[bytes, int], tuple[Value, int]]
) -> tuple[tuple[Value, ...], int]:
    """Values of one block."""
    count, at = _read_count(data, at)
    found = []
    for _ in range(count):
        one, at = read(data, at)
        found.append(one)
    return tuple(found), _read_end(data, at) if count else at


def read_floats(data: bytes, at: int) -> tuple[tuple[float, ...], int]:
    """An array of floats."""
    count, at = _read_count(data, at)
    if not count:
        return (), at
    return unpack_from(f"<{count}f", data, at), _read_end(data, at + 4 * count)


def read_mapping(
    data: bytes, at: int, read: Callable[[bytes, int], tuple[Value, int]]
) -> tuple[dict[str, Value], int]:
    """Entries of one block."""
    count, at = _read_count(data, at)
    found = {}
    for _ in range(count):
        key, at = read_text(data, at)
        found[key], at = read(data, at)
    return found, _read_end(data, at) if count else at


def _read_count(data: bytes, at: int) -> tuple[int, int]:
    count, at = read_long(data, at)
    # Each value is one byte at least.
    if not 0 <= count <= len(data):
        raise ValueError(f"a block of {count}")
    return count, at


def _read_end(data: bytes, at: int) -> int:
    if data[at] != END[0]:
        raise ValueError("more than one block")
    return at + 1
