"""The last ids that were seen, as 48-bit digests, oldest first.

Of 48 ids none is taken for another by chance: that happens once in 6 million million events.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

import numpy as np

from domain.little_endian import little_endian

ID_BYTES = 6
_WIDE_BYTES = 8
_MASK = (1 << 8 * ID_BYTES) - 1


def digest_of(text: str) -> int:
    """A 48-bit number that stands for an id.

    >>> digest_of("e1") == digest_of("e1") != digest_of("e2")
    True
    """
    # The beginning of 64 bits, which is what was stored once.
    digest = blake2b(text.encode(), digest_size=_WIDE_BYTES).digest()
    return int.from_bytes(digest[:ID_BYTES], "little")


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
    12
    """
    wide = np.frombuffer(little_endian(ids).tobytes(), np.uint8)
    return wide.reshape(-1, _WIDE_BYTES)[:, :ID_BYTES].tobytes()


def ids_from_bytes(stored: bytes) -> array[int]:
    """Read what `ids_to_bytes` wrote.

    >>> ids_from_bytes(ids_to_bytes(array("Q", [1, 2])))
    array('Q', [1, 2])
    """
    narrow = np.frombuffer(stored, np.uint8).reshape(-1, ID_BYTES)
    wide = np.zeros((len(narrow), _WIDE_BYTES), np.uint8)
    wide[:, :ID_BYTES] = narrow
    return little_endian(array("Q", wide.tobytes()))


def wide_ids_from_bytes(stored: bytes) -> array[int]:
    """Read digests of 64 bits, of which the first 48 are kept."""
    return array("Q", [digest & _MASK for digest in little_endian(array("Q", stored))])
