"""One posterior as bytes: a version byte first, little endian throughout.

Layout of version 1: the fixed fields, the recent ids, and, if there was ever a context, 64 weights
and the upper half of the covariance, row by row, as float32. The files under tests/domain/golden/
hold each version for ever.
"""

from struct import Struct, error

import numpy as np

from domain.bandit import PACKED_SIZE, ContextModel, Floats, Posterior
from domain.recent_ids import ID_BYTES, ids_from_bytes, ids_to_bytes
from domain.segments import CONTEXT_DIM

FORMAT_VERSION = 1
# version, recent ids, posterior's version, times of showing and log, rewards gained and missed,
# impressions, rewarded, explored, exploited
_FIXED = Struct("<BHQqqddQQQQ")


class PosteriorError(Exception):
    """A stored posterior can't be read."""


def encode_posterior(posterior: Posterior) -> bytes:
    """The bytes of a posterior.

    >>> len(encode_posterior(Posterior()))
    75
    """
    fixed = _FIXED.pack(
        FORMAT_VERSION,
        len(posterior.recent_ids),
        posterior.version,
        posterior.timestamp_ms,
        posterior.log_time_ms,
        posterior.gained,
        posterior.missed,
        posterior.impressions,
        posterior.rewarded,
        posterior.explored,
        posterior.exploited,
    )
    chunks = [fixed, ids_to_bytes(posterior.recent_ids)]
    if posterior.model is not None:
        chunks.append(posterior.model.weights.astype("<f4", copy=False).tobytes())
        chunks.append(posterior.model.covariance.astype("<f4", copy=False).tobytes())
    return b"".join(chunks)


def decode_posterior(stored: bytes) -> Posterior:
    """The posterior in bytes, or `PosteriorError`.

    >>> decode_posterior(encode_posterior(Posterior(version=7))).version
    7
    """
    if stored[0] != FORMAT_VERSION:
        raise PosteriorError(
            f"posterior of format {stored[0]}; this version reads {FORMAT_VERSION}: "
            "run the release that wrote it, or a newer one"
        )
    try:
        return _posterior(stored)
    except (error, ValueError) as problem:
        raise PosteriorError(f"{len(stored)} bytes of a posterior are damaged: {problem}") from None


def _posterior(stored: bytes) -> Posterior:
    _, ids, version, timestamp_ms, log_time_ms, gained, missed, *counts = _FIXED.unpack_from(stored)
    impressions, rewarded, explored, exploited = counts
    end = _FIXED.size + ID_BYTES * ids
    if end > len(stored):
        raise ValueError(f"{ids} recent ids end at {end}")
    return Posterior(
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        gained=gained,
        missed=missed,
        impressions=impressions,
        rewarded=rewarded,
        explored=explored,
        exploited=exploited,
        recent_ids=ids_from_bytes(stored[_FIXED.size : end]),
        model=_model(stored[end:]),
    )


def _model(stored: bytes) -> ContextModel | None:
    if not stored:
        return None
    wanted = 4 * (CONTEXT_DIM + PACKED_SIZE)
    if len(stored) != wanted:
        raise ValueError(f"{len(stored)} bytes of a model, {wanted} were expected")
    numbers: Floats = np.frombuffer(stored, "<f4").astype(np.float32)
    return ContextModel(weights=numbers[:CONTEXT_DIM], covariance=numbers[CONTEXT_DIM:])
