"""What kinds of things a user likes: categories for now and for good, and how prices matter.

Each category has two sums of action weights (`domain.events.ACTION_WEIGHTS`). One fades over a day,
the other over thirty; what speaks against an item lowers both. A sum that fades is kept as of a
landmark: later evidence counts more there instead of earlier evidence less, so the order of events
makes no difference, and nothing is written but what an event touches.

Prices are compared within the user: the geometric mean of what they look at, beside that of what
they put into the cart or buy.

A user has at most `MOST_CATEGORIES` categories. One more takes the place of the least decided one
that no window counts any more; until there is one it has no number and is counted as another.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from math import exp, log
from struct import Struct, error
from typing import Self

from domain.events import ACTION_WEIGHTS
from domain.little_endian import little_endian
from domain.windows import OTHER_CATEGORY
from schemas.types import UserEvent

MOST_CATEGORIES = OTHER_CATEGORY
CATEGORY_BYTES = 64
NOW_MS, GOOD_MS = 86_400_000, 30 * 86_400_000
# Beyond this a sum is brought to a newer landmark, long before float32 ends.
_MOST_RISE = 20.0
PREFERRED = 10
# A mean of prices follows the last ones: each counts at least one in so many.
PRICES = 50
BOUGHT = frozenset({"add_to_cart", "purchase"})

FORMAT_VERSION = 1
# version, categories, landmarks, logarithms of prices looked at and bought, and how many
_HEADER = Struct("<BBqqffBB")


class AffinitiesError(Exception):
    """Stored affinities can't be read."""


def category_of(event: UserEvent, *, catalogue: str | None) -> str | None:
    """The category that an event is about: as the event says, else as the catalogue does.

    >>> search = UserEvent(event_id="e", user_id="u", event_type="search", timestamp_ms=0)
    >>> category_of(search, catalogue="mugs")
    'mugs'
    """
    told = event.signal.category if event.signal is not None else None
    found = told or event.context.get("category") or catalogue
    return _cut(found) if found else None


def weight_of(event: UserEvent) -> float:
    """How far an event speaks for its category, below zero against it.

    >>> weight_of(UserEvent(event_id="e", user_id="u", event_type="purchase", timestamp_ms=0))
    1.0
    """
    signal = event.signal
    if event.event_type != "preference_update" or signal is None or signal.direction is None:
        return ACTION_WEIGHTS.get(event.event_type, 0.0)
    strength = 1.0 if signal.strength is None else min(1.0, max(0.0, signal.strength))
    return strength if signal.direction == "positive" else -strength


class Affinities:
    """The categories and prices of one user, changed in place.

    >>> likes = Affinities()
    >>> number = likes.number_of("mugs", in_use=set)
    >>> likes.add(number, 0.3, timestamp_ms=0)
    >>> likes.for_now()
    {'mugs': 1.0}
    """

    __slots__ = ("_bought", "_good", "_good_at", "_now", "_now_at", "_seen", "_stored", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self._now, self._good = array("f"), array("f")
        self._now_at = self._good_at = 0
        # Mean of logarithms, and how many: of prices looked at, and of those bought.
        self._seen, self._bought = array("f", (0.0, 0.0)), array("f", (0.0, 0.0))
        self._stored: bytes | None = b""

    def number_of(self, category: str, *, in_use: Callable[[], set[int]]) -> int:
        """The number of a category, a new one where it has none and one is free.

        >>> Affinities().number_of("mugs", in_use=set)
        0
        """
        if category in self.names:
            return self.names.index(category)
        self._stored = None
        if len(self.names) < MOST_CATEGORIES:
            self.names.append(category)
            self._now.append(0.0)
            self._good.append(0.0)
            return len(self.names) - 1
        return self._replace(category, in_use())

    def _replace(self, category: str, in_use: set[int]) -> int:
        free = [number for number in range(MOST_CATEGORIES) if number not in in_use]
        if not free:
            return OTHER_CATEGORY
        number = min(free, key=lambda one: abs(self._good[one]))
        self.names[number] = category
        self._now[number] = self._good[number] = 0.0
        return number

    def add(self, number: int, weight: float, *, timestamp_ms: int) -> None:
        """Take in evidence for a category, below zero against it."""
        if weight == 0.0 or number >= len(self.names):
            return
        self._stored = None
        self._now_at = _raised(self._now, self._now_at, timestamp_ms, NOW_MS)
        self._good_at = _raised(self._good, self._good_at, timestamp_ms, GOOD_MS)
        self._now[number] += weight * exp((timestamp_ms - self._now_at) / NOW_MS)
        self._good[number] += weight * exp((timestamp_ms - self._good_at) / GOOD_MS)

    def price(self, price: float, *, bought: bool) -> None:
        """Take in a price that was looked at, or paid."""
        if price <= 0.0:
            return
        self._stored = None
        mean = self._bought if bought else self._seen
        mean[1] = min(mean[1] + 1.0, PRICES)
        mean[0] += (log(price) - mean[0]) / mean[1]

    def for_now(self) -> dict[str, float]:
        """Shares of the categories that the last day speaks for, the greatest first.

        All fade alike, so the shares are the same at any later time.
        """
        liked = self._ordered(self._now, sign=1)
        total = sum(liked.values())
        return {name: weight / total for name, weight in liked.items()}

    def preferred(self) -> list[str]:
        """The categories that the user has liked for long, the most liked first."""
        return list(self._ordered(self._good, sign=1))[:PREFERRED]

    def disliked(self) -> list[str]:
        """The categories that more speaks against than for, the most disliked first."""
        return list(self._ordered(self._good, sign=-1))[:PREFERRED]

    def price_sensitivity(self) -> float | None:
        """0 to 1: a half where they buy at the prices they look at, more where they buy cheaper.

        None until both are known. With geometric means S of what was seen and B of what was bought
        it is S / (S + B).

        >>> likes = Affinities()
        >>> likes.price(30.0, bought=False)
        >>> likes.price(10.0, bought=True)
        >>> round(likes.price_sensitivity(), 3)
        0.75
        """
        if not (self._seen[1] and self._bought[1]):
            return None
        return 1.0 / (1.0 + exp(min(700.0, self._bought[0] - self._seen[0])))

    def _ordered(self, sums: array[float], *, sign: int) -> Mapping[str, float]:
        found = [
            (sign * value, name)
            for name, value in zip(self.names, sums, strict=True)
            if sign * value > 0.0
        ]
        return {name: value for value, name in sorted(found, key=lambda one: (-one[0], one[1]))}

    def to_bytes(self) -> bytes:
        """A compact form, little endian, empty where nothing is known.

        >>> Affinities().to_bytes()
        b''
        """
        if self._stored is None:
            self._stored = self._packed()
        return self._stored

    def _packed(self) -> bytes:
        seen, bought = self._seen, self._bought
        header = _HEADER.pack(
            *(FORMAT_VERSION, len(self.names), self._now_at, self._good_at),
            *(seen[0], bought[0], int(seen[1]), int(bought[1])),
        )
        sums = little_endian(self._now).tobytes() + little_endian(self._good).tobytes()
        raw = [name.encode() for name in self.names]
        return b"".join((header, sums, bytes(map(len, raw)), *raw))

    @classmethod
    def from_bytes(cls, stored: bytes) -> Self:
        """Read what `to_bytes` wrote.

        >>> Affinities.from_bytes(b"").names
        []
        """
        likes = cls()
        if not stored:
            return likes
        if stored[0] != FORMAT_VERSION:
            raise AffinitiesError(
                f"affinities of format {stored[0]}; this version reads {FORMAT_VERSION}: "
                "run the release that wrote them, or a newer one"
            )
        try:
            likes._read(stored)
        except (ValueError, IndexError, error) as problem:
            raise AffinitiesError(
                f"{len(stored)} bytes of affinities are damaged: {problem}"
            ) from None
        return likes

    def _read(self, stored: bytes) -> None:
        _, count, self._now_at, self._good_at, *prices = _HEADER.unpack_from(stored)
        self._seen, self._bought = array("f", prices[0::2]), array("f", prices[1::2])
        at = _HEADER.size + 8 * count
        sums = array("f")
        sums.frombytes(stored[_HEADER.size : at])
        sums = little_endian(sums)
        self._now, self._good = sums[:count], sums[count:]
        end = at + count
        for size in stored[at:end]:
            self.names.append(stored[end : end + size].decode())
            end += size
        if end != len(stored) or not count == len(self._good) == len(self.names):
            raise ValueError(f"{end} bytes were expected")
        self._stored = stored


def _raised(sums: array[float], landmark_ms: int, timestamp_ms: int, scale_ms: int) -> int:
    """The landmark to add at: a newer one, with the sums brought there, once evidence grew much."""
    rise = (timestamp_ms - landmark_ms) / scale_ms
    if rise <= _MOST_RISE:
        return landmark_ms
    fading = exp(-min(rise, 700.0))
    for at, value in enumerate(sums):
        sums[at] = value * fading
    return timestamp_ms


def _cut(category: str) -> str:
    raw = category.encode()
    if len(raw) <= CATEGORY_BYTES:
        return category
    return raw[:CATEGORY_BYTES].decode(errors="ignore")
