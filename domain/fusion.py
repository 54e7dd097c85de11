"""From up to four modality vectors of 512 to 1024 numbers to one item vector of 1024.

Each modality has a fixed projection with orthonormal columns, which keeps lengths and angles: an
item with one modality keeps its cosines. Several are averaged by their weights, and the average
asks them, by cross-attention, what they add: queries and keys of 256, values of 1024, and a gate
that says for each number how much of the average stays. The result has unit length.

A projection is the first columns of those drawn from the Hadamard matrix, with the signs of its
rows flipped, both by a hash of the modality's name: the entries are exactly +-1/32, the same on
every machine. Queries and keys are drawn alike. As long as nothing is learned, values are the
modalities themselves and the gate leaves nine tenths of the average: attention that has learned
nothing must not turn items away from the users who like them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
LARGEST_MODALITY_DIM = ITEM_DIM
KEY_DIM = 256
SHORTEST = 1e-6
UNLEARNED_GATE = 0.9


class FusionError(ValueError):
    """A modality vector, or what was learned to fuse them, can't be used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fusion:
    """What fusing can learn. Matrices are outputs by inputs; one that is None leaves all as it is.

    `gate` has a row for each number of the item vector, over the average and after it what
    attention found; where it is None the bias alone decides.
    """

    query: Vector
    key: Vector
    value: Vector | None = None
    gate: Vector | None = None
    gate_bias: Vector
    weights: Mapping[str, float] = field(default_factory=lambda: MODALITY_WEIGHTS)

    def __post_init__(self) -> None:
        wanted = {
            "query": (KEY_DIM, ITEM_DIM),
            "key": (KEY_DIM, ITEM_DIM),
            "value": (ITEM_DIM, ITEM_DIM),
            "gate": (ITEM_DIM, 2 * ITEM_DIM),
            "gate_bias": (ITEM_DIM,),
        }
        for name, shape in wanted.items():
            matrix = getattr(self, name)
            if matrix is not None and (matrix.shape != shape or not np.isfinite(matrix).all()):
                raise FusionError(
                    f"{name} has shape {matrix.shape}; {shape} finite numbers are needed"
                )
        if not all(0.0 < self.weights.get(name, 0.0) < np.inf for name in MODALITY_WEIGHTS):
            raise FusionError(
                f"weights are {dict(self.weights)}; each of {', '.join(MODALITY_WEIGHTS)} "
                "needs one above 0"
            )


@cache
def unlearned() -> Fusion:
    """Fusion before anything was learned, the same on every machine.

    >>> unlearned().query.shape
    (256, 1024)
    """
    return Fusion(
        query=_as_float32(_drawn("query", KEY_DIM).T),
        key=_as_float32(_drawn("key", KEY_DIM).T),
        gate_bias=np.full(ITEM_DIM, np.log(UNLEARNED_GATE / (1 - UNLEARNED_GATE)), np.float32),
    )


@cache
def projection(modality: str, dim: int = MODALITY_DIM) -> Vector:
    """The matrix of a modality, 1024 by 512 or as many as it has, columns orthonormal.

    >>> text = projection("text")
    >>> bool(np.array_equal(text.T @ text, np.eye(MODALITY_DIM)))
    True
    """
    return _drawn(f"modality {modality}", dim)


def _drawn(name: str, count: int) -> Vector:
    draws = shake_256(f"freshet {name}".encode()).digest(5 * ITEM_DIM)
    ranks = np.frombuffer(draws, dtype="<u4", count=ITEM_DIM)
    signs = np.frombuffer(draws, dtype=np.uint8, offset=4 * ITEM_DIM) % 2 * 2.0 - 1.0
    columns = np.sort(np.argsort(ranks, kind="stable")[:count])
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


def fuse(modalities: Mapping[str, Vector], *, fusion: Fusion | None = None) -> Vector:
    """One unit vector of 1024 from the modalities that an item has.

    >>> text = np.zeros(MODALITY_DIM, dtype=np.float32)
    >>> text[3] = 2.0
    >>> bool(np.allclose(fuse({"text": text}), lift(text / 2)))
    True
    """
    if not modalities:
        raise FusionError("an item vector needs at least one modality; none was given")
    learned = fusion or unlearned()
    names = sorted(modalities)
    projected = np.stack([_projected(name, modalities[name]) for name in names])
    if len(names) == 1:
        return unit("fused", projected[0], dim=ITEM_DIM)
    weights = np.array([learned.weights[name] for name in names], dtype=np.float32)
    average = _as_float32((weights / weights.sum()) @ projected)
    attended = _attended(learned, average, projected)
    gate = _gate(learned, average, attended)
    return unit("fused", _as_float32(gate * average + (1 - gate) * attended), dim=ITEM_DIM)


def _projected(name: str, vector: Vector) -> Vector:
    dim = vector.size
    if vector.ndim != 1 or not MODALITY_DIM <= dim <= LARGEST_MODALITY_DIM:
        raise FusionError(
            f"the {name} vector has shape {vector.shape}; "
            f"{MODALITY_DIM} to {LARGEST_MODALITY_DIM} numbers are needed"
        )
    return _as_float32(projection(name, dim) @ unit(name, vector, dim=dim))


def _attended(learned: Fusion, average: Vector, projected: Vector) -> Vector:
    """What the average hears from the modalities, by scaled dot-product attention."""
    scores = (projected @ learned.key.T) @ (learned.query @ average) / np.sqrt(KEY_DIM)
    heard = np.exp(scores - scores.max())
    values = projected if learned.value is None else projected @ learned.value.T
    return _as_float32((heard / heard.sum()) @ values)


def _gate(learned: Fusion, average: Vector, attended: Vector) -> Vector:
    opens = learned.gate_bias
    if learned.gate is not None:
        opens = opens + learned.gate @ np.concatenate([average, attended])
    return _as_float32(1.0 / (1.0 + np.exp(-np.clip(opens, -60.0, 60.0))))


def retrieval_vector(modalities: Mapping[str, Vector], *, fusion: Fusion | None = None) -> Vector:
    """The item in the users' space: its text of 512, else what the users' space sees of the item.

    >>> image = np.ones(MODALITY_DIM, dtype=np.float32)
    >>> retrieval_vector({"image": image}).shape
    (512,)
    """
    text = modalities.get(USER_MODALITY)
    if text is not None and text.size == MODALITY_DIM:
        return unit(USER_MODALITY, text)
    return unit("shadow", projection(USER_MODALITY).T @ fuse(modalities, fusion=fusion))


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
