"""From up to four modality vectors of 512 to one item vector of 1024.

Each modality has a fixed projection with orthonormal columns, which keeps lengths and angles: an
item with one modality keeps its cosines. Several modalities are averaged by their weights and
brought back to unit length; weighing them by learned cross-attention comes with training.

A projection is 512 columns of the Hadamard matrix with the signs of its rows flipped, both drawn
from a hash of the modality's name: the entries are exactly +-1/32, the same on every machine.
"""

from collections.abc import Mapping
from functools import cache
from hashlib import shake_256
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.collections import ITEM_DIM, MODALITY_DIM

Vector = NDArray[np.float32]

MODALITY_WEIGHTS = MappingProxyType({"text": 0.4, "image": 0.3, "audio": 0.1, "video": 0.2})
USER_MODALITY = "text"
SHORTEST = 1e-6


class FusionError(ValueError):
    """A modality vector can't be used."""


@cache
def projection(modality: str) -> Vector:
    """The matrix of a modality, 1024 by 512, columns orthonormal.

    >>> text = projection("text")
    >>> bool(np.array_equal(text.T @ text, np.eye(MODALITY_DIM)))
    True
    """
    draws = shake_256(f"freshet modality {modality}".encode()).digest(5 * ITEM_DIM)
    ranks = np.frombuffer(draws, dtype="<u4", count=ITEM_DIM)
    signs = np.frombuffer(draws, dtype=np.uint8, offset=4 * ITEM_DIM) % 2 * 2.0 - 1.0
    columns = np.sort(np.argsort(ranks, kind="stable")[:MODALITY_DIM])
    matrix = signs[:, None] * _hadamard(ITEM_DIM)[:, columns] / np.sqrt(ITEM_DIM)
    matrix = matrix.astype(np.float32)
    matrix.setflags(write=False)
    return np.ascontiguousarray(matrix)


def lift(user_vector: Vector) -> Vector:
    """A vector of the users' space in the items' space, length and angles kept.

    >>> user = np.full(MODALITY_DIM, 1 / np.sqrt(MODALITY_DIM), dtype=np.float32)
    >>> abs(float(np.linalg.norm(lift(user))) - 1.0) < 1e-6
    True
    """
    return _as_float32(projection(USER_MODALITY) @ user_vector)


def fuse(modalities: Mapping[str, Vector]) -> Vector:
    """One unit vector of 1024 from the modalities that an item has.

    >>> text = np.zeros(MODALITY_DIM, dtype=np.float32)
    >>> text[3] = 2.0
    >>> bool(np.allclose(fuse({"text": text}), lift(text / 2)))
    True
    """
    if not modalities:
        raise FusionError("an item vector needs at least one modality; none was given")
    total = np.zeros(ITEM_DIM, dtype=np.float32)
    for name, vector in sorted(modalities.items()):
        total += np.float32(MODALITY_WEIGHTS[name]) * (projection(name) @ unit(name, vector))
    return unit("fused", total, dim=ITEM_DIM)


def retrieval_vector(modalities: Mapping[str, Vector]) -> Vector:
    """The item in the users' space: its text, else what the users' space sees of the others.

    >>> image = np.ones(MODALITY_DIM, dtype=np.float32)
    >>> retrieval_vector({"image": image}).shape
    (512,)
    """
    if USER_MODALITY in modalities:
        return unit(USER_MODALITY, modalities[USER_MODALITY])
    return unit("shadow", projection(USER_MODALITY).T @ fuse(modalities))


def unit(name: str, vector: Vector, *, dim: int = MODALITY_DIM) -> Vector:
    """The vector at length one, or `FusionError` where it has no direction.

    >>> unit("text", np.zeros(512, dtype=np.float32))
    Traceback (most recent call last):
    ...
    domain.fusion.FusionError: the text vector has length 0.0; a finite one above 1e-06 is needed
    """
    if vector.shape != (dim,):
        raise FusionError(f"the {name} vector has shape {vector.shape}; ({dim},) is needed")
    length = float(np.linalg.norm(vector))
    if not SHORTEST < length < np.inf:
        raise FusionError(
            f"the {name} vector has length {length}; a finite one above {SHORTEST} is needed"
        )
    return _as_float32(vector / np.float32(length))


def _hadamard(size: int) -> NDArray[np.float64]:
    """Sylvester's matrix: entry (i, j) is the parity of the bits that i and j share."""
    places = np.arange(size)
    shared = (places[:, None] & places[None, :]).astype(np.uint16).view(np.uint8)
    bits: NDArray[np.uint64] = np.unpackbits(shared.reshape(size, size, 2), axis=2).sum(axis=2)
    return np.asarray(1.0 - 2.0 * (bits % 2), dtype=np.float64)


def _as_float32(vector: NDArray[Any]) -> Vector:
    return np.ascontiguousarray(vector, dtype=np.float32)
