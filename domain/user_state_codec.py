"""One user's state as bytes: a version byte first, little endian throughout.

Layout of version 2: the fixed fields, four texts (session id, device, page, country), the recent
ids, the windows, the affinities, the emotion, the showings, the items of the visit, and the vectors
whose flags are set: for good (float16), momentum, day and visit (12 bits).
Texts have two bytes of length before them, ffff for none; parts have four. A user of whom nothing
has to be remembered is no bytes at all.

Version 1 had the fixed fields, texts, ids with two bytes of length, counts alone, the vector as
float32 and the momentum as float16. The files under tests/domain/golden/ hold each version for
ever, and each is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.affinity import Affinities
from domain.attribution import Showings
from domain.embedding import Compact, FadingSum, Momentum, UserEmbedding, compact, packed, unpacked
from domain.emotion import EmotionState
from domain.recent_ids import ids_from_bytes, ids_to_bytes
from domain.session import RecentItem, Session
from domain.user_state import UserState
from domain.windows import TYPES, Windows
from schemas.collections import SESSION_DIM, USER_DIM

FORMAT_VERSION = 2
_CONSENT, _VECTOR, _MOMENTUM, _DAY, _VISIT = 1, 2, 4, 8, 16
# version, flags, user version, first seen, latest, interactions, sessions,
# session start, last and interactions, embedding version
_FIXED = Struct("<BBQqqQIqqIQ")
_MOMENTUM_HEAD = Struct("<fq")
_SUM_HEAD = Struct("<fdq")
# milliseconds before the visit's latest event, type, bytes of the item's id
_RECENT = Struct("<IBH")
_PART = Struct("<I")
_SIZE = Struct("<H")
_NO_TEXT = 0xFFFF

# as _FIXED, with the momentum's time
_FIXED_1 = Struct("<BBQqqQIqqIQq")

_CODES = {name: code for code, name in enumerate(TYPES)}


class UserStateError(Exception):
    """Stored state can't be read."""


def encode_user_state(state: UserState) -> bytes:
    """The bytes of a state.

    >>> len(encode_user_state(UserState(version=1)))
    98
    >>> encode_user_state(UserState())
    b''
    """
    showings = state.showings.to_bytes()
    if state.version == 0 and not showings:
        return b""
    return b"".join(_chunks(state, showings))


def decode_user_state(stored: bytes) -> UserState:
    """The state in bytes, or `UserStateError`.

    >>> decode_user_state(encode_user_state(UserState(version=7))).version
    7
    """
    if not stored:
        return UserState()
    reader = {1: _read_1, FORMAT_VERSION: _read_2}.get(stored[0])
    if reader is None:
        raise UserStateError(
            f"user state of format {stored[0]}; this version reads {FORMAT_VERSION} and older: "
            "run the release that wrote it, or a newer one"
        )
    try:
        return reader(_Reader(stored))
    except (error, ValueError, IndexError) as problem:
        raise UserStateError(f"{len(stored)} bytes of user state are damaged: {problem}") from None


def _chunks(state: UserState, showings: bytes) -> Iterator[bytes]:
    session, embedding = state.session, state.embedding
    day, visit = embedding.day, session.embedding
    yield _FIXED.pack(
        FORMAT_VERSION,
        _CONSENT * state.consent
        | _VECTOR * (embedding.vector is not None)
        | _MOMENTUM * (embedding.momentum is not None)
        | _DAY * (day.vector is not None)
        | _VISIT * (visit.vector is not None),
        state.version,
        state.first_seen_ms,
        state.latest_ms,
        state.total_interactions,
        state.total_sessions,
        session.start_ms,
        session.last_ms,
        session.interactions,
        embedding.version,
    )
    for text in (session.session_id, state.device_type, state.page_type, state.country):
        yield _text(text)
    parts = (
        ids_to_bytes(state.recent_ids),
        state.windows.to_bytes(),
        state.affinities.to_bytes(),
        state.emotion.to_bytes() if state.total_interactions else b"",
        showings,
        b"".join(_recent_items(session)),
    )
    for part in parts:
        yield _PART.pack(len(part))
        yield part
    yield from _vectors(embedding, visit)


def _recent_items(session: Session) -> Iterator[bytes]:
    for item in session.recent_items:
        raw = item.item_id.encode()
        before_ms = session.last_ms - item.timestamp_ms
        yield _RECENT.pack(before_ms, _CODES[item.event_type], len(raw))
        yield raw


def _vectors(embedding: UserEmbedding, visit: FadingSum) -> Iterator[bytes]:
    if embedding.vector is not None:
        yield embedding.vector.astype("<f2", copy=False).tobytes()
    if embedding.momentum is not None:
        step = embedding.momentum.step
        yield _MOMENTUM_HEAD.pack(step.scale, embedding.momentum.at_ms)
        yield packed(step.steps)
    for fading in (embedding.day, visit):
        if fading.vector is not None:
            yield _SUM_HEAD.pack(fading.vector.scale, fading.mass, fading.landmark_ms)
            yield packed(fading.vector.steps)


def _text(text: str | None) -> bytes:
    if text is None:
        return _SIZE.pack(_NO_TEXT)
    raw = text.encode()
    return _SIZE.pack(len(raw)) + raw


def _read_2(reader: _Reader) -> UserState:
    *head, embedding_version = reader.fields(_FIXED)
    state = _described(reader, head)
    state.recent_ids = ids_from_bytes(reader.part())
    state.windows = Windows.from_bytes(reader.part())
    state.affinities = Affinities.from_bytes(reader.part())
    state.emotion = EmotionState.from_bytes(reader.part())
    state.showings = Showings.from_bytes(reader.part())
    state.session.recent_items = reader.recent_items(state.session.last_ms)
    _read_vectors(reader, head[1], state)
    state.embedding.version = embedding_version
    reader.end()
    return state


def _described(reader: _Reader, head: list[Any]) -> UserState:
    """What fixed fields and texts say, which are the same in every version."""
    _, flags, version, first_seen_ms, latest_ms, interactions, sessions, *visit = head
    start_ms, last_ms, in_visit = visit
    session_id, device_type, page_type, country = (reader.text() for _ in range(4))
    return UserState(
        version=version,
        first_seen_ms=first_seen_ms,
        latest_ms=latest_ms,
        total_interactions=interactions,
        total_sessions=sessions,
        consent=bool(flags & _CONSENT),
        device_type=device_type,
        page_type=page_type,
        country=country,
        session=Session(
            session_id=session_id, start_ms=start_ms, last_ms=last_ms, interactions=in_visit
        ),
    )


def _read_vectors(reader: _Reader, flags: int, state: UserState) -> None:
    embedding = state.embedding
    if flags & _VECTOR:
        embedding.vector = reader.numbers("<f2", USER_DIM)
    if flags & _MOMENTUM:
        scale, at_ms = reader.fields(_MOMENTUM_HEAD)
        embedding.momentum = Momentum(step=reader.compact(scale, USER_DIM), at_ms=at_ms)
    if flags & _DAY:
        _read_sum(reader, embedding.day, USER_DIM)
    if flags & _VISIT:
        _read_sum(reader, state.session.embedding, SESSION_DIM)


def _read_sum(reader: _Reader, fading: FadingSum, dim: int) -> None:
    scale, fading.mass, fading.landmark_ms = reader.fields(_SUM_HEAD)
    fading.vector = reader.compact(scale, dim)


def _read_1(reader: _Reader) -> UserState:
    *head, embedding_version, momentum_at_ms = reader.fields(_FIXED_1)
    state = _described(reader, head)
    state.recent_ids = ids_from_bytes(reader.short_part())
    state.windows = Windows.from_bytes(reader.short_part())
    embedding, flags = state.embedding, head[1]
    embedding.version = embedding_version
    if flags & _VECTOR:
        embedding.vector = reader.numbers("<f4", USER_DIM).astype(np.float16)
    if flags & _MOMENTUM:
        step = reader.numbers("<f2", USER_DIM).astype(np.float32)
        embedding.momentum = Momentum(step=compact(step), at_ms=momentum_at_ms)
    reader.end()
    return state


class _Reader:
    """Reads one part after another."""

    __slots__ = ("_at", "_stored")

    def __init__(self, stored: bytes) -> None:
        self._stored = stored
        self._at = 0

    def fields(self, layout: Struct) -> tuple[Any, ...]:
        found = layout.unpack_from(self._stored, self._at)
        self._at += layout.size
        return found

    def text(self) -> str | None:
        (size,) = self.fields(_SIZE)
        return None if size == _NO_TEXT else self.take(size).decode()

    def part(self) -> bytes:
        (size,) = self.fields(_PART)
        return self.take(size)

    def short_part(self) -> bytes:
        (size,) = self.fields(_SIZE)
        return self.take(size)

    def recent_items(self, last_ms: int) -> list[RecentItem]:
        (size,) = self.fields(_PART)
        end, items = self._at + size, []
        while self._at < end:
            before_ms, code, size = self.fields(_RECENT)
            items.append(RecentItem(self.take(size).decode(), last_ms - before_ms, TYPES[code]))
        return items

    def numbers(self, kind: str, count: int) -> NDArray[Any]:
        dtype = np.dtype(kind)
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)

    def compact(self, scale: float, dim: int) -> Compact:
        return Compact(unpacked(self.take(dim * 3 // 2)), scale)

    def end(self) -> None:
        if self._at != len(self._stored):
            raise ValueError(f"{len(self._stored) - self._at} bytes too many")

    def take(self, size: int) -> bytes:
        chunk = self._stored[self._at : self._at + size]
        if len(chunk) != size:
            raise ValueError(f"{size} bytes expected at {self._at}, {len(chunk)} are there")
        self._at += size
        return chunk
