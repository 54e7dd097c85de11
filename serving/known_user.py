"""All that is known of a user, decoded, with versions and times: for people who look into it."""

import base64
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from struct import Struct
from typing import Any

import numpy as np
import orjson

from domain.affinity import Affinities, AffinitiesError
from domain.emotion import EmotionState, EmotionStateError, mood_at
from domain.fusion import lift
from domain.windows import Windows, WindowsError
from schemas.redis_keys import (
    CONTEXT,
    EMBEDDING,
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    INTERACTIONS,
    RedisKey,
)
from settings import Settings
from stores.errors import MISREAD_BYTES, StoreError
from stores.user_keys import StoredKey, UserKeys
from stores.user_vectors import UserVectorReader
from stores.views import VERSION, VISIT_VERSION, vector_of

NEAREST = 10
TIMEOUT_MS = 2_000

Decode = Callable[[Any, int], Any]


class UserLookup:
    """Reads a user from the stores; a vector store that is away is said so in the answer."""

    def __init__(self, keys: UserKeys, vectors: UserVectorReader) -> None:
        self._keys = keys
        self._vectors = vectors

    async def known(self, user_id: str, *, now_ms: int, nearest: int = NEAREST) -> dict[str, Any]:
        """What the stores hold of a user; raises StoreUnavailable where Redis is away."""
        stored = await self._keys.read(user_id)
        told = described(user_id, stored, now_ms=now_ms)
        return told | {"milvus": await self._milvus(user_id, stored, nearest)}

    async def _milvus(
        self, user_id: str, stored: Sequence[StoredKey], nearest: int
    ) -> dict[str, Any]:
        try:
            row = await self._vectors.user(user_id)
            return {"row": row, "nearest_items": await self._nearest(user_id, stored, nearest)}
        except StoreError as error:
            return {"away": str(error)}

    async def _nearest(
        self, user_id: str, stored: Sequence[StoredKey], nearest: int
    ) -> list[dict[str, Any]]:
        key = next((one for one in stored if one.family is EMBEDDING), None)
        vector = vector_of(key.value[VERSION.size :], f"user {user_id}") if key else None
        if vector is None or not np.any(vector):
            return []
        found = await self._vectors.search_items(lift(vector), nearest)
        return [{"item_id": item_id, "closeness": round(close, 4)} for item_id, close in found]


@asynccontextmanager
async def lookup_of(settings: Settings) -> AsyncIterator[UserLookup]:
    """A lookup by connections of its own, which may take their time."""
    milvus = settings.milvus
    token = milvus.token.get_secret_value()
    async with (
        UserKeys(settings.redis.url, timeout_ms=TIMEOUT_MS) as keys,
        UserVectorReader(milvus.uri, timeout_ms=TIMEOUT_MS, token=token) as vectors,
    ):
        yield UserLookup(keys, vectors)


def described(user_id: str, stored: Sequence[StoredKey], *, now_ms: int) -> dict[str, Any]:
    """What lies in the online store, decoded as of an instant."""
    told = {key.name: _decoded(key, now_ms) for key in stored}
    return {
        "user_id": user_id,
        "known": any(key.family is CONTEXT for key in stored),
        "as_of": readable(now_ms),
        "redis": {key.name: {"ttl_s": key.ttl_s, "value": told[key.name]} for key in stored},
    }


def readable(time_ms: int) -> str:
    """A time as people read it, to the millisecond.

    >>> readable(1_800_000_000_123)
    '2027-01-15T08:00:00.123+00:00'
    """
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _decoded(key: StoredKey, now_ms: int) -> Any:
    """The value; of one that can't be read, why, since that may be what is looked for."""
    decode = DECODERS.get(key.family.pattern)
    try:
        return decode(key.value, now_ms) if decode else _plain(key.family, key.value)
    except (*MISREAD_BYTES, WindowsError, EmotionStateError, AffinitiesError) as error:
        return {"unreadable": str(error) or type(error).__name__}


def _context(stored: bytes, now_ms: int) -> dict[str, Any]:
    """The context, with its packed parts decoded and its times readable."""
    context: dict[str, Any] = orjson.loads(stored)
    for name, decode in PACKED.items():
        if name in context:
            context[name] = decode(base64.b64decode(context[name]), now_ms)
    times = {name: readable(context[name]) for name in ("timestamp_ms", "log_time_ms")}
    return {"times": times, "age_ms": now_ms - context["log_time_ms"], **context}


def _windows(stored: bytes, now_ms: int) -> dict[str, Any]:
    activity = Windows.from_bytes(stored).activity(now_ms)
    return {window: dataclasses.asdict(one) for window, one in activity.items()}


def _affinities(stored: bytes, _now_ms: int) -> dict[str, Any]:
    affinities = Affinities.from_bytes(stored)
    return {
        "for_now": affinities.for_now(),
        "preferred": affinities.preferred(),
        "disliked": affinities.disliked(),
        "price_sensitivity": affinities.price_sensitivity(),
    }


def _emotion(stored: bytes, now_ms: int) -> dict[str, Any] | None:
    return (
        dataclasses.asdict(mood_at(EmotionState.from_bytes(stored), at_ms=now_ms))
        if stored
        else None
    )


def _embedding(stored: bytes, _now_ms: int) -> dict[str, Any]:
    """Version and norm of a vector of 512 float32."""
    return _vector(stored, VERSION, "<f4")


def _day(stored: bytes, _now_ms: int) -> dict[str, Any]:
    return _vector(stored, VERSION, "<f2")


def _visit(stored: bytes, _now_ms: int) -> dict[str, Any]:
    number = VISIT_VERSION.unpack_from(stored)[1]
    return {"visit": number, **_vector(stored, VISIT_VERSION, "<f2")}


def _vector(stored: bytes, head: Struct, kind: str) -> dict[str, Any]:
    numbers = np.frombuffer(stored[head.size :], kind).astype(np.float32)
    norm = round(float(np.linalg.norm(numbers)), 4)
    return {"version": head.unpack_from(stored)[0], "numbers": numbers.size, "norm": norm}


def _interactions(flat: Sequence[bytes], _now_ms: int) -> list[dict[str, Any]]:
    """Newest first, each with its time."""
    return [
        {"at": readable(int(float(flat[at + 1]))), **orjson.loads(flat[at])}
        for at in range(0, len(flat), 2)
    ]


def _plain(family: RedisKey, value: Any) -> Any:
    if family.kind == "hash":
        return {_text(name): _text(one) for name, one in value.items()}
    if family.kind in ("list", "sorted set"):
        return [_text(one) for one in value]
    return _text(value)


def _text(value: bytes) -> str:
    """Text, or how many bytes there are of what isn't any."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"({len(value)} bytes)"


PACKED: Mapping[str, Decode] = {
    "windows": _windows,
    "affinities": _affinities,
    "emotion": _emotion,
}
DECODERS: Mapping[str, Decode] = {
    CONTEXT.pattern: _context,
    EMBEDDING.pattern: _embedding,
    EMBEDDING_DAY.pattern: _day,
    EMBEDDING_SESSION.pattern: _visit,
    INTERACTIONS.pattern: _interactions,
}
