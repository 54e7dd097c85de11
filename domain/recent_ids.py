"""The last ids that were seen, as 64-bit digests, oldest first."""

from __future__ import annotations

from array import array
from hashlib import blake2b

from domain.little_endian import little_endian


def digest_of(text: str) -> int:
    """A 64-bit number that stands for an id.

    >>> digest_of("e1") == digest_of("e1") != digest_of("e2")
    True
    """
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def remember(recent: array[int], text: str, *, limit: int) -> bool:
    """Keep an id among the last `limit`, in place; False where it is there already.

    >>> seen = array("Q")
    >>> remember(seen, "e1", limit=2), remember(seen, "e1", limit=2)
    (True, False)
    """
    digest = digest_of(text)
    if digest in recent:
        return False
    recent.append(digest)
    if len(recent) > limit:
        del recent[: len(recent) - limit]
    return True


def ids_to_bytes(ids: array[int]) -> bytes:
    """Digests as bytes, little endian.

    >>> len(ids_to_bytes(array("Q", [1, 2])))
    16
    """
    return little_endian(ids).tobytes()


def ids_from_bytes(stored: bytes) -> array[int]:
    """Read what `ids_to_bytes` wrote.

    >>> ids_from_bytes(ids_to_bytes(array("Q", [1, 2])))
    array('Q', [1, 2])
    """
    return little_endian(array("Q", stored))
