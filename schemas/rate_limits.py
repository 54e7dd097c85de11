"""What counting requests says, whoever counts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests a second, of which `burst` may come at once."""

    rate: float
    burst: float


@dataclass(frozen=True, slots=True)
class Room:
    """What may still be spent, and how long until one more may, and until all may."""

    left: float
    wait_ms: float
    full_ms: float
