"""What a record must be before a store is bothered with it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from domain.segments import CONTEXT_DIM
from schemas.collections import ID_MAX_LENGTH, ITEM_DIM, SESSION_DIM, USER_DIM
from schemas.types import (
    BanditPosterior,
    EmbeddingUpdate,
    ItemEngagement,
    ItemNeighbors,
    ItemPopularity,
    ItemSnapshot,
    Record,
    UserSnapshot,
)

FLOAT_BYTES, HALF_BYTES = 4, 2


class Problem(NamedTuple):
    """Why a record can't be written: a short name, and what was seen."""

    reason: str
    detail: str


def problem_of(record: Record) -> Problem | None:
    """Say what keeps a record out of the stores, if anything."""
    match record:
        case UserSnapshot():
            return _id_problem("user_id", record.user_id)
        case EmbeddingUpdate():
            return _id_problem("user_id", record.user_id) or _embedding_problem(record)
        case ItemSnapshot():
            return _item_problem(record)
        case ItemPopularity():
            return _popularity_problem(record)
        case ItemEngagement():
            return _id_problem("item_id", record.item_id) or _listed_problem(
                "trends", record.trends, record.trending
            )
        case ItemNeighbors():
            return _id_problem("item_id", record.item_id) or _listed_problem(
                "neighbors", record.neighbors, record.scores
            )
        case BanditPosterior():
            return _posterior_problem(record)
    return Problem("unexpected_record", f"{type(record).__name__} is written to no store")


def _embedding_problem(update: EmbeddingUpdate) -> Problem | None:
    """What is told of a user who is to be forgotten has no vectors."""
    if update.erased:
        return None
    return (
        _vector_problem("embedding", update.embedding.vector, USER_DIM)
        or _half_problem("day_vector", update.day_vector, USER_DIM)
        or _half_problem("session_vector", update.session_vector, SESSION_DIM)
    )


def _item_problem(item: ItemSnapshot) -> Problem | None:
    price = item.catalog.price if item.catalog else None
    return (
        _id_problem("item_id", item.item_id)
        or _vector_problem("vector", item.vector, USER_DIM)
        or _vector_problem("unified", item.unified, ITEM_DIM)
        or _number_problem("price", price or 0.0)
    )


def _popularity_problem(moved: ItemPopularity) -> Problem | None:
    return (
        _id_problem("item_id", moved.item_id)
        or _number_problem("popularity", moved.popularity)
        or _number_problem("trending", moved.trending)
    )


def _posterior_problem(posterior: BanditPosterior) -> Problem | None:
    return (
        _id_problem("item_id", posterior.item_id)
        or _id_problem("context_segment", posterior.context_segment)
        or _parameter_problem("alpha", posterior.alpha)
        or _parameter_problem("beta", posterior.beta)
        or _vector_problem("weights", posterior.weights or None, CONTEXT_DIM)
        or _vector_problem("variances", posterior.variances or None, CONTEXT_DIM)
    )


def _listed_problem(name: str, listed: Sequence[str], numbers: Sequence[float]) -> Problem | None:
    if len(listed) == len(numbers) and all(map(math.isfinite, numbers)):
        return None
    return Problem(
        "bad_number", f"{len(listed)} {name} with {len(numbers)} numbers; each has a finite one"
    )


def _id_problem(name: str, value: str) -> Problem | None:
    size = len(value.encode())
    if 0 < size <= ID_MAX_LENGTH:
        return None
    return Problem("bad_id", f"{name} has {size} bytes; 1 to {ID_MAX_LENGTH} are allowed")


def _vector_problem(name: str, vector: bytes | None, dim: int) -> Problem | None:
    if vector is None:
        return None
    if len(vector) != dim * FLOAT_BYTES:
        wanted = f"{dim} float32 are {dim * FLOAT_BYTES}"
        return Problem("bad_vector", f"{name} has {len(vector)} bytes; {wanted}")
    if not np.isfinite(np.frombuffer(vector, "<f4")).all():
        return Problem("bad_vector", f"{name} holds numbers that are not finite")
    return None


def _half_problem(name: str, vector: bytes, dim: int) -> Problem | None:
    if len(vector) in (0, dim * HALF_BYTES):
        return None
    wanted = f"{dim} float16 are {dim * HALF_BYTES}"
    return Problem("bad_vector", f"{name} has {len(vector)} bytes; {wanted}")


def _number_problem(name: str, value: float) -> Problem | None:
    if math.isfinite(value):
        return None
    return Problem("bad_number", f"{name} is {value}; a finite number is allowed")


def _parameter_problem(name: str, value: float) -> Problem | None:
    if math.isfinite(value) and value > 0:
        return None
    return Problem("bad_number", f"{name} is {value}; a finite number above 0 is allowed")
