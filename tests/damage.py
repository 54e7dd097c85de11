"""Ways in which bytes are damaged."""

from collections.abc import Callable
from random import Random

Damage = Callable[[bytearray, Random], bytearray]


def spoilt(message: bytes, rng: Random) -> bytes:
    """The message, damaged in one to three places."""
    damaged = bytearray(message)
    for _ in range(rng.randint(1, 3)):
        damaged = rng.choice(DAMAGES)(damaged, rng)
    return bytes(damaged)


def _flipped(message: bytearray, rng: Random) -> bytearray:
    if message:
        message[rng.randrange(len(message))] ^= 1 << rng.randrange(8)
    return message


def _overwritten(message: bytearray, rng: Random) -> bytearray:
    start, end = _slice(message, rng)
    message[start:end] = rng.randbytes(end - start)
    return message


def _cut(message: bytearray, rng: Random) -> bytearray:
    start, end = _slice(message, rng)
    del message[start:end]
    return message


def _truncated(message: bytearray, rng: Random) -> bytearray:
    return message[: rng.randint(0, len(message))]


def _repeated(message: bytearray, rng: Random) -> bytearray:
    start, end = _slice(message, rng)
    return message[:end] + message[start:]


def _longer(message: bytearray, rng: Random) -> bytearray:
    at = rng.randint(0, len(message))
    return message[:at] + rng.randbytes(rng.randint(1, 9)) + message[at:]


def _huge_length(message: bytearray, rng: Random) -> bytearray:
    """A number of ten bytes, where a length or a choice may stand."""
    at = rng.randint(0, len(message))
    return message[:at] + b"\xff" * 9 + b"\x01" + message[at:]


def _swapped(message: bytearray, rng: Random) -> bytearray:
    at = rng.randint(0, len(message))
    return message[at:] + message[:at]


def _slice(message: bytearray, rng: Random) -> tuple[int, int]:
    start = rng.randint(0, len(message))
    return start, min(len(message), start + rng.randint(1, 12))


DAMAGES: tuple[Damage, ...] = (
    _flipped,
    _overwritten,
    _cut,
    _truncated,
    _repeated,
    _longer,
    _huge_length,
    _swapped,
)
