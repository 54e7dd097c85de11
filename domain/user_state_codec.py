"""One user's state as bytes: a version byte first, little endian throughout.

Layout of version 2: the fixed fields, four texts (session id, device, page, country), the recent
ids, the windows, the affinities, the emotion, the showings, the items of the visit, and the vectors
whose flags are set: for good (float16), momentum, day and visit (12 bits).
Texts have two bytes of length before them, ffff for none; parts have four. A user of whom nothing
has to be remembered is no bytes at all.

Version 1 had the fixed fields, texts, ids of 8 bytes, counts alone, the vector as float32
and the momentum as float16. The files under tests/domain/golden/ hold each version for
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
from domain.packed import PackedReader, pack_text
from domain.recent_ids import ids_from_bytes, ids_to_bytes, wide_ids_from_bytes
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
_SHORT_PART = Struct("<H")

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
        return reader(PackedReader(stored))
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
        yield pack_text(text)
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


def _read_2(reader: PackedReader) -> UserState:
    *head, embedding_version = reader.fields(_FIXED)
    state = _described(reader, head)
    state.recent_ids = ids_from_bytes(reader.part(_PART))
    state.windows = Windows.from_bytes(reader.part(_PART))
    state.affinities = Affinities.from_bytes(reader.part(_PART))
    state.emotion = EmotionState.from_bytes(reader.part(_PART))
    state.showings = Showings.from_bytes(reader.part(_PART))
    state.session.recent_items = _items_of(reader.part(_PART), state.session.last_ms)
    _read_vectors(reader, head[1], state)
    state.embedding.version = embedding_version
    reader.end()
    return state


def _described(reader: PackedReader, head: list[Any]) -> UserState:
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


def _items_of(stored: bytes, last_ms: int) -> list[RecentItem]:
    reader, items = PackedReader(stored), []
    while not reader.done:
        before_ms, code, size = reader.fields(_RECENT)
        items.append(RecentItem(reader.take(size).decode(), last_ms - before_ms, TYPES[code]))
    return items


def _read_vectors(reader: PackedReader, flags: int, state: UserState) -> None:
    embedding = state.embedding
    if flags & _VECTOR:
        embedding.vector = _numbers(reader, "<f2", USER_DIM)
    if flags & _MOMENTUM:
        scale, at_ms = reader.fields(_MOMENTUM_HEAD)
        embedding.momentum = Momentum(step=_compact(reader, scale, USER_DIM), at_ms=at_ms)
    if flags & _DAY:
        _read_sum(reader, embedding.day, USER_DIM)
    if flags & _VISIT:
        _read_sum(reader, state.session.embedding, SESSION_DIM)


def _read_sum(reader: PackedReader, fading: FadingSum, dim: int) -> None:
    scale, fading.mass, fading.landmark_ms = reader.fields(_SUM_HEAD)
    fading.vector = _compact(reader, scale, dim)


def _read_1(reader: PackedReader) -> UserState:
    *head, embedding_version, momentum_at_ms = reader.fields(_FIXED_1)
    state = _described(reader, head)
    state.recent_ids = wide_ids_from_bytes(reader.part(_SHORT_PART))
    state.windows = Windows.from_bytes(reader.part(_SHORT_PART))
    embedding, flags = state.embedding, head[1]
    embedding.version = embedding_version
    if flags & _VECTOR:
        embedding.vector = _numbers(reader, "<f4", USER_DIM).astype(np.float16)
    if flags & _MOMENTUM:
        step = _numbers(reader, "<f2", USER_DIM).astype(np.float32)
        embedding.momentum = Momentum(step=compact(step), at_ms=momentum_at_ms)
    reader.end()
    return state


def _numbers(reader: PackedReader, kind: str, count: int) -> NDArray[Any]:
    dtype = np.dtype(kind)
    return np.frombuffer(reader.take(count * dtype.itemsize), dtype)


def _compact(reader: PackedReader, scale: float, dim: int) -> Compact:
    return Compact(unpacked(reader.take(dim * 3 // 2)), scale)
