"""One user's state as bytes: a version byte first, little endian throughout.

Layout of version 1: the fixed fields, four texts (session id, device, page, country), the recent
ids, the counts, the vector as float32, the momentum as float16. Each part of its own length has two
bytes of length before it, ffff for no text; vector and momentum are there if their flags are set.
The files under tests/domain/golden/ hold each version for ever.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from struct import Struct, error

import numpy as np

from domain.embedding import UserEmbedding
from domain.user_state import Session, UserState
from domain.windows import Windows
from schemas.collections import USER_DIM

FORMAT_VERSION = 1
_CONSENT, _VECTOR, _MOMENTUM = 1, 2, 4
# version, flags, user version, first seen, latest, interactions, sessions,
# session start, last and interactions, embedding version, momentum's time
_FIXED = Struct("<BBQqqQIqqIQq")
_SIZE = Struct("<H")
_NO_TEXT = 0xFFFF


class UserStateError(Exception):
    """Stored state can't be read."""


def encode_user_state(state: UserState) -> bytes:
    """The bytes of a state.

    >>> len(encode_user_state(UserState()))
    86
    """
    return b"".join(_chunks(state))


def decode_user_state(stored: bytes) -> UserState:
    """The state in bytes, or `UserStateError`.

    >>> decode_user_state(encode_user_state(UserState(version=7))).version
    7
    """
    if stored[0] != FORMAT_VERSION:
        raise UserStateError(
            f"user state of format {stored[0]}; this version reads {FORMAT_VERSION}: "
            "run the release that wrote it, or a newer one"
        )
    try:
        return _Reader(stored).state()
    except (error, ValueError, IndexError) as problem:
        raise UserStateError(f"{len(stored)} bytes of user state are damaged: {problem}") from None


def _chunks(state: UserState) -> Iterator[bytes]:
    session, embedding = state.session, state.embedding
    learned = embedding.version > 0
    yield _FIXED.pack(
        FORMAT_VERSION,
        _CONSENT * state.consent | _VECTOR * learned | _MOMENTUM * (embedding.momentum is not None),
        state.version,
        state.first_seen_ms,
        state.latest_ms,
        state.total_interactions,
        state.total_sessions,
        session.start_ms,
        session.last_ms,
        session.interactions,
        embedding.version,
        embedding.momentum_at_ms,
    )
    for text in (session.session_id, state.device_type, state.page_type, state.country):
        yield from _text(text)
    yield from _sized(_little_endian(state.recent_ids).tobytes())
    yield from _sized(state.windows.to_bytes())
    if learned:
        yield embedding.vector.astype("<f4", copy=False).tobytes()
    if embedding.momentum is not None:
        yield embedding.momentum.astype("<f2", copy=False).tobytes()


def _text(text: str | None) -> Iterator[bytes]:
    if text is None:
        yield _SIZE.pack(_NO_TEXT)
    else:
        yield from _sized(text.encode())


def _sized(chunk: bytes) -> Iterator[bytes]:
    yield _SIZE.pack(len(chunk))
    yield chunk


class _Reader:
    def __init__(self, stored: bytes) -> None:
        self.stored = stored
        self.at = _FIXED.size

    def state(self) -> UserState:
        (
            _format,
            flags,
            version,
            first_seen_ms,
            latest_ms,
            total_interactions,
            total_sessions,
            session_start_ms,
            session_last_ms,
            session_interactions,
            embedding_version,
            momentum_at_ms,
        ) = _FIXED.unpack_from(self.stored)
        session = Session(
            session_id=self._text(),
            start_ms=session_start_ms,
            last_ms=session_last_ms,
            interactions=session_interactions,
        )
        return UserState(
            version=version,
            first_seen_ms=first_seen_ms,
            latest_ms=latest_ms,
            total_interactions=total_interactions,
            total_sessions=total_sessions,
            consent=bool(flags & _CONSENT),
            session=session,
            device_type=self._text(),
            page_type=self._text(),
            country=self._text(),
            recent_ids=_little_endian(array("Q", self._sized())),
            windows=Windows.from_bytes(self._sized()),
            embedding=self._embedding(flags, embedding_version, momentum_at_ms),
        )

    def _embedding(self, flags: int, version: int, momentum_at_ms: int) -> UserEmbedding:
        embedding = UserEmbedding(version=version, momentum_at_ms=momentum_at_ms)
        if flags & _VECTOR:
            stored = np.frombuffer(self._take(4 * USER_DIM), dtype="<f4")
            embedding.vector = stored.astype(np.float32)
        if flags & _MOMENTUM:
            embedding.momentum = np.frombuffer(self._take(2 * USER_DIM), dtype="<f2")
        if self.at != len(self.stored):
            raise ValueError(f"{len(self.stored) - self.at} bytes too many")
        return embedding

    def _text(self) -> str | None:
        (size,) = _SIZE.unpack_from(self.stored, self.at)
        if size == _NO_TEXT:
            self.at += _SIZE.size
            return None
        return self._sized().decode()

    def _sized(self) -> bytes:
        (size,) = _SIZE.unpack_from(self.stored, self.at)
        self.at += _SIZE.size
        return self._take(size)

    def _take(self, size: int) -> bytes:
        chunk = self.stored[self.at : self.at + size]
        if len(chunk) != size:
            raise ValueError(f"{size} bytes expected at {self.at}, {len(chunk)} are there")
        self.at += size
        return chunk


def _little_endian(ids: array[int]) -> array[int]:
    if sys.byteorder == "big":
        ids = ids[:]
        ids.byteswap()
    return ids
