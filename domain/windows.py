"""What a user did over sliding windows of event time: how often, for how long, for how much.

A window is the bucket that holds an instant and the `buckets - 1` before it: 5 minutes by 5
seconds, 1 hour by 1 minute, 24 hours by 30 minutes. Buckets are kept, not sums, so a reader asks
for any later instant and no timer is needed. All is counted by event time: an event out of order
is counted where it belongs, and one whose bucket has left a window is late for that window.

Each non-empty (bucket, code) of a window is 4 bytes: 8 bits of bucket after the window's origin,
5 of type, 19 of count. Time spent and money spent in a bucket are 8 bytes each: 8 bits of bucket,
one of kind, and then 15 of count and 40 of milliseconds, or 55 of ten-thousandths of the currency;
what is beyond that stays at the most.

Of the latest `MOST_ITEMS` items the last time is kept, to 5 seconds, with the item's category
(`domain/affinity.py` knows the names). That is enough to say how many different items a window
holds, and how many of each category, until so many others have followed that one was forgotten:
then the numbers are lower bounds and say so.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct, error
from typing import Self, get_args
from zlib import crc32

from domain.little_endian import little_endian
from domain.packed import PackedReader
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

FORMAT_VERSION = 2
# The codes of stored counts: a type keeps its place for ever, new ones go to the end.
TYPES: tuple[str, ...] = get_args(EventType)
_CODES = {name: code for code, name in enumerate(TYPES)}

MOST_ITEMS = 100
MONEY_UNITS = 10_000
# Categories of a user are numbered from 0; this stands for all that have no number.
OTHER_CATEGORY = 30
_NO_CATEGORY = 31

_COUNT_BITS, _CODE_BITS, _BUCKET_BITS = 19, 5, 8
_COUNT_MAX = (1 << _COUNT_BITS) - 1
_CODE_MASK = (1 << _CODE_BITS) - 1
_BUCKET_SHIFT = _COUNT_BITS + _CODE_BITS
_BUCKET_LIMIT = 1 << _BUCKET_BITS
_CATEGORY_BITS = 5
_CATEGORY_MASK = (1 << _CATEGORY_BITS) - 1

_AMOUNT_BITS, _TIME_BITS = 55, 40
_AMOUNT_MAX = (1 << _AMOUNT_BITS) - 1
_TIME_MAX, _TIMES_MAX = (1 << _TIME_BITS) - 1, (1 << _AMOUNT_BITS - _TIME_BITS) - 1
_TIME, _MONEY = 0, 1
_AMOUNT_BUCKET_SHIFT = _AMOUNT_BITS + 1

_ITEM_MS = WINDOWS[0].bucket_ms
_DAY_MS = WINDOWS[-1].bucket_ms
_NONE_FORGOTTEN = 0xFFFF
_LAST_LIMIT = 1 << 32

# version, latest time, forgotten item (5 seconds before the latest), items, types with a last time
_HEADER = Struct("<BqHBB")
_LAST = Struct("<BI")
# origin (buckets before the latest), counts, amounts
_WINDOW_HEADER = Struct("<BHH")
_HEADER_1 = Struct("<Bq")
_WINDOW_HEADER_1 = Struct("<qH")


class WindowsError(Exception):
    """Stored counts can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a user did within one window, as of an instant.

    `items` are different ones, `categories` how many of them are of each, by its number, with
    `OTHER_CATEGORY` for those that have none; both are lower bounds unless `items_exact`.
    """

    counts: Mapping[str, int]
    categories: Mapping[int, int]
    items: int
    items_exact: bool
    duration_ms: int
    durations: int
    spend: float

    @property
    def ctr(self) -> float:
        """Clicks by view; a user may click what others counted as seen, so it can be above 1."""
        return self.counts.get("click", 0) / max(self.counts.get("view", 0), 1)

    @property
    def conversion_rate(self) -> float:
        """Purchases by click."""
        return self.counts.get("purchase", 0) / max(self.counts.get("click", 0), 1)

    @property
    def mean_duration_ms(self) -> float:
        """Of the views and dwells that told how long they took."""
        return self.duration_ms / max(self.durations, 1)

    @property
    def events(self) -> int:
        """All of them."""
        return sum(self.counts.values())


class _Buckets:
    """The non-empty buckets of one window. `origin` is the bucket that the stored ones count from.

    Time only grows, so a bucket inside the window is never before the origin.
    """

    __slots__ = ("amounts", "entries", "origin", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.origin = 0
        self.entries = array("I")
        self.amounts = array("Q")

    def place(self, *, timestamp_ms: int, latest_ms: int) -> int | None:
        """The bucket of an event after the origin; None where it has left the window."""
        window = self.window
        bucket, latest = timestamp_ms // window.bucket_ms, latest_ms // window.bucket_ms
        self._advance(latest)
        return bucket - self.origin if bucket > latest - window.buckets else None

    def count(self, place: int, code: int) -> None:
        key = (place << _CODE_BITS | code) << _COUNT_BITS
        entries = self.entries
        at = bisect_right(entries, key | _COUNT_MAX) - 1
        # A full count is left as it is and another entry of the same bucket and code begun.
        if at >= 0 and key < entries[at] < key | _COUNT_MAX:
            entries[at] += 1
        else:
            entries.insert(at + 1, key | 1)

    def spend_time(self, place: int, duration_ms: int) -> None:
        at = self._amount_at(place, _TIME)
        head, held = self.amounts[at] >> _AMOUNT_BITS, self.amounts[at] & _AMOUNT_MAX
        times = min((held >> _TIME_BITS) + 1, _TIMES_MAX)
        total_ms = min((held & _TIME_MAX) + duration_ms, _TIME_MAX)
        self.amounts[at] = head << _AMOUNT_BITS | times << _TIME_BITS | total_ms

    def spend_money(self, place: int, units: int) -> None:
        at = self._amount_at(place, _MONEY)
        head, held = self.amounts[at] >> _AMOUNT_BITS, self.amounts[at] & _AMOUNT_MAX
        self.amounts[at] = head << _AMOUNT_BITS | min(held + units, _AMOUNT_MAX)

    def _amount_at(self, place: int, kind: int) -> int:
        key = (place << 1 | kind) << _AMOUNT_BITS
        at = bisect_left(self.amounts, key)
        if at == len(self.amounts) or self.amounts[at] > key | _AMOUNT_MAX:
            self.amounts.insert(at, key)
        return at

    def _advance(self, latest: int) -> None:
        oldest = latest - self.window.buckets + 1
        gone = oldest - self.origin
        if gone > 0:
            _drop(self.entries, gone, _BUCKET_SHIFT)
            _drop(self.amounts, gone, _AMOUNT_BUCKET_SHIFT)
        empty = not (self.entries or self.amounts)
        if latest - self.origin >= _BUCKET_LIMIT or empty:
            self._begin_at(oldest)

    def _begin_at(self, oldest: int) -> None:
        moved = oldest - self.origin
        for held, shift in ((self.entries, _BUCKET_SHIFT), (self.amounts, _AMOUNT_BUCKET_SHIFT)):
            for at, entry in enumerate(held):
                held[at] = entry - (moved << shift)
        self.origin = oldest

    def _oldest(self, now_ms: int) -> int:
        return now_ms // self.window.bucket_ms - self.window.buckets + 1 - self.origin

    def counts(self, now_ms: int) -> dict[str, int]:
        oldest = self._oldest(now_ms)
        found: dict[str, int] = {}
        for entry in self.entries:
            if entry >> _BUCKET_SHIFT >= oldest:
                name = TYPES[entry >> _COUNT_BITS & _CODE_MASK]
                found[name] = found.get(name, 0) + (entry & _COUNT_MAX)
        return found

    def totals(self, now_ms: int) -> tuple[int, int, int]:
        """Milliseconds, how many told them, and units of money."""
        oldest, total_ms, times, units = self._oldest(now_ms), 0, 0, 0
        for entry in self.amounts:
            if entry >> _AMOUNT_BUCKET_SHIFT < oldest:
                continue
            held = entry & _AMOUNT_MAX
            if entry >> _AMOUNT_BITS & 1 == _MONEY:
                units += held
            else:
                total_ms, times = total_ms + (held & _TIME_MAX), times + (held >> _TIME_BITS)
        return total_ms, times, units


def _drop(held: array[int], buckets: int, shift: int) -> None:
    if held and held[0] < buckets << shift:
        del held[: bisect_left(held, buckets << shift)]


class Windows:
    """What one user did, changed in place by `add`.

    >>> windows = Windows()
    >>> windows.add("view", timestamp_ms=1_000_000)
    0
    >>> windows.counts(1_000_000 + 10 * MINUTE_MS)
    {'5m': {}, '1h': {'view': 1}, '24h': {'view': 1}}
    """

    __slots__ = ("_forgotten", "_items", "_last", "_parts", "_stored", "latest_ms")

    def __init__(self) -> None:
        self.latest_ms: int | None = None
        self._parts = tuple(_Buckets(window) for window in WINDOWS)
        # The 5 seconds in which each item was last met, with 5 bits of category below; and the
        # latest of those forgotten.
        self._items: dict[int, int] = {}
        self._forgotten: int | None = None
        self._last: dict[int, int] = {}
        self._stored: bytes | None = None

    def add(
        self,
        event_type: str,
        *,
        timestamp_ms: int,
        item_id: str | None = None,
        category: int | None = None,
        duration_ms: int | None = None,
        spend: float = 0.0,
    ) -> int:
        """Count an event, and say how many windows it came too late for."""
        latest_ms = timestamp_ms if self.latest_ms is None else max(self.latest_ms, timestamp_ms)
        self.latest_ms, self._stored = latest_ms, None
        code, missed = _CODES[event_type], 0
        units = _units(spend) if spend > 0.0 else 0
        for part in self._parts:
            place = part.place(timestamp_ms=timestamp_ms, latest_ms=latest_ms)
            if place is None:
                missed += 1
                continue
            part.count(place, code)
            if duration_ms is not None:
                part.spend_time(place, duration_ms)
            if units:
                part.spend_money(place, units)
        if item_id is not None and missed < len(WINDOWS):
            self._meet(item_id, timestamp_ms // _ITEM_MS, category)
        self._last[code] = max(self._last.get(code, timestamp_ms), timestamp_ms)
        return missed

    def _meet(self, item_id: str, at: int, category: int | None) -> None:
        items, item = self._items, crc32(item_id.encode())
        known = items.get(item)
        if known is None or known >> _CATEGORY_BITS <= at:
            items[item] = at << _CATEGORY_BITS | (_NO_CATEGORY if category is None else category)
        if len(items) > MOST_ITEMS:
            self._forget_item()

    def _forget_item(self) -> None:
        """Let go of the item that was met longest ago; ties go to the smaller numbers."""
        met, item = min((met, item) for item, met in self._items.items())
        del self._items[item]
        at = met >> _CATEGORY_BITS
        self._forgotten = at if self._forgotten is None else max(self._forgotten, at)

    def counts(self, now_ms: int) -> Counts:
        """Counts by window and type at an instant.

        An instant before the latest event is answered as of that event, which has pushed out what
        was too old for it: a producer's clock may be ahead of the reader's.
        """
        return {part.window.name: part.counts(now_ms) for part in self._parts}

    def activity(self, now_ms: int) -> dict[str, Activity]:
        """All that is known of each window at an instant, as `counts` takes it.

        >>> windows = Windows()
        >>> windows.add("purchase", timestamp_ms=0, item_id="i1", spend=19.5)
        0
        >>> windows.activity(0)["1h"].spend
        19.5
        """
        at_ms = now_ms if self.latest_ms is None else max(now_ms, self.latest_ms)
        return {part.window.name: self._activity(part, at_ms) for part in self._parts}

    def _activity(self, part: _Buckets, now_ms: int) -> Activity:
        total_ms, times, units = part.totals(now_ms)
        window = part.window
        oldest = (now_ms // window.bucket_ms - window.buckets + 1) * window.bucket_ms // _ITEM_MS
        met = [met for met in self._items.values() if met >> _CATEGORY_BITS >= oldest]
        return Activity(
            counts=part.counts(now_ms),
            categories=_by_category(met),
            items=len(met),
            items_exact=self._forgotten is None or self._forgotten < oldest,
            duration_ms=total_ms,
            durations=times,
            spend=units / MONEY_UNITS,
        )

    def since_last_ms(self, now_ms: int) -> dict[str, int]:
        """How long ago each type of event was last seen, for those of the last 49 days.

        >>> windows = Windows()
        >>> windows.add("view", timestamp_ms=1_000)
        0
        >>> windows.since_last_ms(5_000)
        {'view': 4000}
        """
        return {TYPES[code]: max(0, now_ms - at_ms) for code, at_ms in self._recent_types()}

    def _recent_types(self) -> list[tuple[int, int]]:
        if self.latest_ms is None:
            return []
        first_ms = self.latest_ms - _LAST_LIMIT
        return [(code, at_ms) for code, at_ms in sorted(self._last.items()) if at_ms > first_ms]

    def categories_in_use(self) -> set[int]:
        """Numbers of categories that a window may still count."""
        return {met & _CATEGORY_MASK for met in self._items.values()}

    def to_bytes(self) -> bytes:
        """A compact form, little endian, empty where nothing was counted.

        >>> Windows().to_bytes()
        b''
        """
        if self._stored is None:
            latest_ms = self.latest_ms
            self._stored = b"" if latest_ms is None else b"".join(self._chunks(latest_ms))
        return self._stored

    def _chunks(self, latest_ms: int) -> Iterator[bytes]:
        self._let_go_of_old_items(latest_ms)
        items, types = self._items, self._recent_types()
        newest, forgotten = latest_ms // _ITEM_MS, self._forgotten
        back = _NONE_FORGOTTEN if forgotten is None else newest - forgotten
        yield _HEADER.pack(FORMAT_VERSION, latest_ms, back, len(items), len(types))
        yield little_endian(array("I", items)).tobytes()
        ages = [newest - (met >> _CATEGORY_BITS) for met in items.values()]
        yield little_endian(array("H", ages)).tobytes()
        yield bytes([met & _CATEGORY_MASK for met in items.values()])
        for code, at_ms in types:
            yield _LAST.pack(code, latest_ms - at_ms)
        for part in self._parts:
            origin = latest_ms // part.window.bucket_ms - part.origin
            yield _WINDOW_HEADER.pack(origin, len(part.entries), len(part.amounts))
            yield little_endian(part.entries).tobytes()
            yield little_endian(part.amounts).tobytes()

    def _let_go_of_old_items(self, latest_ms: int) -> None:
        """Those of before the last day can't be in any window again."""
        oldest = (latest_ms // _DAY_MS - WINDOWS[-1].buckets + 1) * (_DAY_MS // _ITEM_MS)
        first = oldest << _CATEGORY_BITS
        if self._items and min(self._items.values()) < first:
            self._items = {item: met for item, met in self._items.items() if met >= first}
        if self._forgotten is not None and self._forgotten < oldest:
            self._forgotten = None

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what `to_bytes` wrote, in this version of the format or an older one.

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
        if stored[0] == 1:
            self._read_1(stored)
        elif stored[0] == FORMAT_VERSION:
            self._read_2(PackedReader(stored))
        else:
            raise WindowsError(
                f"counts of format {stored[0]}; this version reads {FORMAT_VERSION} and older: "
                "run the release that wrote them, or a newer one"
            )

    def _read_2(self, reader: PackedReader) -> None:
        _, latest_ms, back, items, types = reader.fields(_HEADER)
        newest = latest_ms // _ITEM_MS
        self.latest_ms = latest_ms
        self._forgotten = None if back == _NONE_FORGOTTEN else newest - back
        ids, ages = reader.integers("I", items), reader.integers("H", items)
        categories = reader.integers("B", items)
        self._items = {
            item: (newest - age) << _CATEGORY_BITS | category
            for item, age, category in zip(ids, ages, categories, strict=True)
        }
        for _ in range(types):
            code, since_ms = reader.fields(_LAST)
            self._last[code] = latest_ms - since_ms
        for part in self._parts:
            origin, counts, amounts = reader.fields(_WINDOW_HEADER)
            part.origin = latest_ms // part.window.bucket_ms - origin
            part.entries = reader.integers("I", counts)
            part.amounts = reader.integers("Q", amounts)

    def _read_1(self, stored: bytes) -> None:
        """Format 1 had the counts alone, and the origin as it is."""
        reader = PackedReader(stored)
        _, self.latest_ms = reader.fields(_HEADER_1)
        for part in self._parts:
            part.origin, size = reader.fields(_WINDOW_HEADER_1)
            part.entries = reader.integers("I", size)


def _by_category(met: list[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for one in met:
        category = one & _CATEGORY_MASK
        if category != _NO_CATEGORY:
            found[category] = found.get(category, 0) + 1
    return found


def _units(spend: float) -> int:
    return round(min(spend * MONEY_UNITS, float(_AMOUNT_MAX)))
