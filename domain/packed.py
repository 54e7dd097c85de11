"""Bytes read one part after another, little endian: what every stored state is made of."""

from __future__ import annotations

from array import array
from struct import Struct
from typing import Any

from domain.little_endian import little_endian

_SIZE = Struct("<H")
_NO_TEXT = 0xFFFF


def pack_text(text: str | None) -> bytes:
    """A text behind its length in bytes; None has a length of its own.

    >>> pack_text("i1").hex(), pack_text(None).hex()
    ('02006931', 'ffff')
    """
    if text is None:
        return _SIZE.pack(_NO_TEXT)
    raw = text.encode()
    return _SIZE.pack(len(raw)) + raw


class PackedReader:
    """Reads from a place in the bytes onwards; what isn't there is a `ValueError`.

    >>> reader = PackedReader(pack_text("i1") + bytes(2))
    >>> reader.text(), reader.integers("H", 1)
    ('i1', array('H', [0]))
    """

    __slots__ = ("_at", "_stored")

    def __init__(self, stored: bytes) -> None:
        self._stored = stored
        self._at = 0

    def fields(self, layout: Struct) -> tuple[Any, ...]:
        """The next numbers, of several kinds."""
        found = layout.unpack_from(self._stored, self._at)
        self._at += layout.size
        return found

    def integers(self, kind: str, count: int) -> array[int]:
        """The next whole numbers, of one kind."""
        found = array(kind)
        found.frombytes(self.take(count * found.itemsize))
        return little_endian(found)

    def floats(self, kind: str, count: int) -> array[float]:
        """The next numbers with a fraction, of one kind."""
        found: array[float] = array(kind)
        found.frombytes(self.take(count * found.itemsize))
        return little_endian(found)

    def text(self) -> str | None:
        """The next text."""
        (size,) = self.fields(_SIZE)
        return None if size == _NO_TEXT else self.take(size).decode()

    def given(self) -> str:
        """The next text, which must be there."""
        text = self.text()
        if text is None:
            raise ValueError(f"a text is missing at {self._at}")
        return text

    def part(self, layout: Struct) -> bytes:
        """The next bytes, behind their length."""
        (size,) = self.fields(layout)
        return self.take(size)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        chunk = self._stored[self._at : self._at + size]
        if len(chunk) != size:
            raise ValueError(f"{size} bytes expected at {self._at}, {len(chunk)} are there")
        self._at += size
        return chunk

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._stored)

    def end(self) -> None:
        """See that nothing is left."""
        if not self.done:
            raise ValueError(f"{len(self._stored) - self._at} bytes too many")
