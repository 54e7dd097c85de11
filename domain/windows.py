"""Counts by event type over sliding windows of event time.

A window is the bucket that holds an instant and the `buckets - 1` before it: 5 minutes by 5
seconds, 1 hour by 1 minute, 24 hours by 30 minutes. Buckets are kept, not sums, so a reader asks
for any later instant and no timer is needed.

Each non-empty (bucket, event type) is 4 bytes: 8 bits of bucket after the window's origin, 5 of
type, 19 of count. Sorted by themselves they are sorted by bucket.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct, error
from typing import Self, get_args

from schemas.types import EventType

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclass(frozen=True, kw_only=True)
class Window:
    """How far back, and how finely."""

    name: str
    bucket_ms: int
    buckets: int


WINDOWS = (
    Window(name="5m", bucket_ms=5_000, buckets=60),
    Window(name="1h", bucket_ms=MINUTE_MS, buckets=60),
    Window(name="24h", bucket_ms=HOUR_MS // 2, buckets=48),
)

Counts = Mapping[str, Mapping[str, int]]

FORMAT_VERSION = 1
# The codes of stored counts: a type keeps its place for ever, new ones go to the end.
TYPES: tuple[str, ...] = get_args(EventType)
_CODES = {name: code for code, name in enumerate(TYPES)}

_COUNT_BITS, _TYPE_BITS, _BUCKET_BITS = 19, 5, 8
_COUNT_MAX = (1 << _COUNT_BITS) - 1
_TYPE_MASK = (1 << _TYPE_BITS) - 1
_BUCKET_SHIFT = _COUNT_BITS + _TYPE_BITS
_BUCKET_LIMIT = 1 << _BUCKET_BITS

_HEADER = Struct("<Bq")
_WINDOW_HEADER = Struct("<qH")


class WindowsError(Exception):
    """Stored counts can't be read."""


class _Buckets:
    """The non-empty buckets of one window. `origin` is the bucket that the stored ones count from.

    Time only grows, so a bucket inside the window is never before the origin.
    """

    __slots__ = ("entries", "origin", "window")

    def __init__(self, window: Window, *, origin: int = 0, entries: array[int] | None = None):
        self.window = window
        self.origin = origin
        self.entries = array("I") if entries is None else entries

    def add(self, code: int, *, timestamp_ms: int, latest_ms: int) -> bool:
        """Count one event; False where its bucket has left the window."""
        bucket = timestamp_ms // self.window.bucket_ms
        latest = latest_ms // self.window.bucket_ms
        self._advance(latest)
        if bucket <= latest - self.window.buckets:
            return False
        key = ((bucket - self.origin) << _TYPE_BITS | code) << _COUNT_BITS
        at = bisect_right(self.entries, key | _COUNT_MAX) - 1
        # A full count is left as it is and another entry of the same bucket and type begun.
        if at >= 0 and key < self.entries[at] < key | _COUNT_MAX:
            self.entries[at] += 1
        else:
            self.entries.insert(at + 1, key | 1)
        return True

    def _advance(self, latest: int) -> None:
        oldest = latest - self.window.buckets + 1
        if self.entries:
            gone = bisect_left(self.entries, max(0, oldest - self.origin) << _BUCKET_SHIFT)
            del self.entries[:gone]
        if latest - self.origin >= _BUCKET_LIMIT or not self.entries:
            moved = (oldest - self.origin) << _BUCKET_SHIFT
            self.entries = array("I", [entry - moved for entry in self.entries])
            self.origin = oldest

    def counts(self, now_ms: int) -> dict[str, int]:
        oldest = now_ms // self.window.bucket_ms - self.window.buckets + 1 - self.origin
        found: dict[str, int] = {}
        for entry in self.entries:
            if entry >> _BUCKET_SHIFT >= oldest:
                name = TYPES[entry >> _COUNT_BITS & _TYPE_MASK]
                found[name] = found.get(name, 0) + (entry & _COUNT_MAX)
        return found


class Windows:
    """The counts of one user, changed in place by `add`.

    >>> windows = Windows()
    >>> windows.add("view", timestamp_ms=1_000_000)
    0
    >>> windows.counts(1_000_000 + 10 * MINUTE_MS)
    {'5m': {}, '1h': {'view': 1}, '24h': {'view': 1}}
    """

    __slots__ = ("_parts", "latest_ms")

    def __init__(self) -> None:
        self.latest_ms: int | None = None
        self._parts = tuple(_Buckets(window) for window in WINDOWS)

    def add(self, event_type: str, *, timestamp_ms: int) -> int:
        """Count an event, and say how many windows it came too late for."""
        latest_ms = timestamp_ms if self.latest_ms is None else max(self.latest_ms, timestamp_ms)
        self.latest_ms = latest_ms
        code = _CODES[event_type]
        missed = 0
        for part in self._parts:
            missed += not part.add(code, timestamp_ms=timestamp_ms, latest_ms=latest_ms)
        return missed

    def counts(self, now_ms: int) -> Counts:
        """Counts by window and type at an instant.

        An instant before the latest event is answered as of that event, which has pushed out what
        was too old for it: a producer's clock may be ahead of the reader's.
        """
        return {part.window.name: part.counts(now_ms) for part in self._parts}

    def to_bytes(self) -> bytes:
        """A compact form, little endian, empty where nothing was counted.

        >>> Windows().to_bytes()
        b''
        """
        return b"" if self.latest_ms is None else b"".join(self._chunks(self.latest_ms))

    def _chunks(self, latest_ms: int) -> Iterator[bytes]:
        yield _HEADER.pack(FORMAT_VERSION, latest_ms)
        for part in self._parts:
            yield _WINDOW_HEADER.pack(part.origin, len(part.entries))
            yield _little_endian(part.entries).tobytes()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what `to_bytes` wrote.

        >>> Windows.from_bytes(b"").counts(0)
        {'5m': {}, '1h': {}, '24h': {}}
        """
        windows = cls()
        if stored:
            try:
                windows._read(stored)
            except (ValueError, error) as problem:
                raise WindowsError(
                    f"{len(stored)} bytes of counts are damaged: {problem}"
                ) from None
        return windows

    def _read(self, stored: bytes) -> None:
        version, self.latest_ms = _HEADER.unpack_from(stored)
        if version != FORMAT_VERSION:
            raise WindowsError(
                f"counts of format {version}; this version reads {FORMAT_VERSION}: "
                "run the release that wrote them, or a newer one"
            )
        at = _HEADER.size
        for part in self._parts:
            part.origin, size = _WINDOW_HEADER.unpack_from(stored, at)
            end = at + _WINDOW_HEADER.size + 4 * size
            if end > len(stored):
                raise WindowsError(f"counts end after {len(stored)} bytes, {end} were expected")
            part.entries = _little_endian(array("I", stored[at + _WINDOW_HEADER.size : end]))
            at = end


def _little_endian(entries: array[int]) -> array[int]:
    if sys.byteorder == "big":
        entries = entries[:]
        entries.byteswap()
    return entries
