"""What readers get from the online store, and how it lies there."""

import json
import logging
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.collections import SESSION_DIM, USER_DIM
from schemas.types import Interaction, ItemEvent, ItemPopularity, ItemSnapshot, UserSnapshot
from stores.errors import MISREAD

Vector = NDArray[np.float32]

VERSION = struct.Struct("<q")
VISIT_VERSION = struct.Struct("<qi")
ENGAGED_MS = 30_000
LIMIT = 1 << 63
VECTOR_BYTES = USER_DIM * 4
# All vectors but those of days and visits are of unit length, to rounding.
LONGEST = 100.0
# As much of a context as its version and its log time take, and the name that comes then.
CONTEXT_HEAD = 80
# Vectors are kept beside the catalogue entry, as bytes, and not in its JSON.
MODALITY_VECTORS = frozenset(
    {"text_embedding", "image_embedding", "audio_embedding", "video_embedding"}
)
CATALOG_FIELDS = frozenset(entry.name for entry in fields(ItemEvent)) - MODALITY_VECTORS
SEQUENCES = frozenset({"categories", "tags"})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPart:
    """What one topic says of an item: fields of the item's hash, with a version of their own."""

    version: str
    log_time_ms: str
    fields: tuple[str, ...]


CATALOG_PART = ItemPart(
    version="version",
    log_time_ms="log_time_ms",
    fields=("deleted", "shown", "catalog", "vector"),
)
POPULARITY_PART = ItemPart(
    version="popularity_version",
    log_time_ms="popularity_log_time_ms",
    fields=("popularity", "popularity_at_ms", "trending", "total_events"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UserView:
    """What the online store knows of a user; of an unknown one, only the id.

    Two views of a user with the same `stamp` are of the same state.
    """

    user_id: str
    version: int = 0
    timestamp_ms: int = 0
    log_time_ms: int = 0
    first_seen_ms: int = 0
    total_interactions: int = 0
    total_sessions: int = 0
    session_id: str | None = None
    session_start_ms: int = 0
    session_interactions: int = 0
    device_type: str | None = None
    page_type: str | None = None
    country: str | None = None
    consent: bool = True
    windows: bytes = b""
    affinities: bytes = b""
    emotion: bytes = b""
    session_last_ms: int = 0
    embedding: Vector | None = field(default=None, repr=False)
    embedding_version: int = 0
    day_vector: Vector | None = field(default=None, repr=False)
    session_vector: Vector | None = field(default=None, repr=False)
    recent: tuple[Interaction, ...] = ()
    stamp: bytes = field(default=b"", repr=False)

    @property
    def known(self) -> bool:
        """Whether there is a context."""
        return self.version > 0

    @property
    def viewed_items(self) -> list[str]:
        """Different items lately viewed, newest first."""
        return _items(one for one in self.recent if one.event_type == "view")

    @property
    def clicked_items(self) -> list[str]:
        """Different items lately clicked, newest first."""
        return _items(one for one in self.recent if one.event_type == "click")

    @property
    def engaged_items(self) -> list[str]:
        """Different items on which the user spent more than half a minute, newest first."""
        return _items(one for one in self.recent if (one.duration_ms or 0) > ENGAGED_MS)

    @property
    def search_queries(self) -> list[str]:
        """The last ten different searches, newest first."""
        return list(dict.fromkeys(one.text for one in self.recent if one.text))[:10]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ItemView:
    """What the online store knows of an item; a deleted one has nothing but its id.

    `catalog` is None while only events of the item are known, and `version` counts the changes of
    the catalogue alone. `changed_at_ms` is the store's time of the change and different for each;
    `items_changed_since` goes on from it.
    """

    item_id: str
    changed_at_ms: int
    deleted: bool = False
    version: int = 0
    catalog: ItemEvent | None = None
    vector: Vector | None = field(default=None, repr=False)
    popularity: float = 0.0
    popularity_at_ms: int = 0
    trending: float = 0.0
    total_events: int = 0


def context_json(user: UserSnapshot, described: Mapping[str, Any] | None = None) -> str:
    """The user context, with what is `described` beside the snapshot's own fields.

    Version and log time come first, where the store's script looks.
    """
    return _json(
        {
            "version": user.version,
            "log_time_ms": user.log_time_ms,
            "timestamp_ms": user.timestamp_ms,
            "user_id": user.user_id,
            "session_id": user.session_id,
            "session_state": {
                "start_time": user.session_start_ms,
                "last_time": user.session_last_ms,
                "interaction_count": user.session_interactions,
                "current_page": user.page_type,
                "device_type": user.device_type,
                "geo_location": {"country": user.country},
            },
            "metadata": {
                "first_seen": user.first_seen_ms,
                "last_active": user.timestamp_ms,
                "total_sessions": user.total_sessions,
                "total_interactions": user.total_interactions,
                "personalization_consent": user.consent,
            },
            "embedding_version": user.embedding_version,
            "windows": b64encode(user.windows).decode(),
            "affinities": b64encode(user.affinities).decode(),
            "emotion": b64encode(user.emotion).decode(),
            **(described or {}),
        }
    )


def interaction_json(interaction: Interaction) -> str:
    """A member of the recent interactions; the event's id keeps equal ones apart."""
    return _json(
        {
            "item_id": interaction.item_id,
            "action": interaction.event_type,
            "position": interaction.position,
            "duration_ms": interaction.duration_ms,
            "request_id": interaction.request_id,
            "event_id": interaction.event_id,
            **({} if interaction.text is None else {"text": interaction.text}),
        }
    )


def embedding_bytes(vector: bytes, version: int) -> bytes:
    """A user's vector behind its version."""
    return VERSION.pack(version) + vector


def day_bytes(vector: bytes, version: int) -> bytes:
    """A vector of the day behind its version."""
    return VERSION.pack(version) + vector


def session_bytes(vector: bytes, version: int, session_number: int) -> bytes:
    """A vector of a visit behind its version and the number of the visit."""
    return VISIT_VERSION.pack(version, session_number) + vector


def catalog_fields(item: ItemSnapshot) -> dict[str, Any]:
    """What the hash of an item holds of its catalogue entry; of a deleted one, that it is."""
    if item.deleted:
        return {"deleted": 1}
    catalog = item.catalog
    present = {
        "shown": 1 if catalog and catalog.is_active else None,
        "catalog": _json(_plain_catalog(catalog)) if catalog else None,
        "vector": item.vector,
    }
    return {name: value for name, value in present.items() if value is not None}


def popularity_fields(moved: ItemPopularity) -> dict[str, Any]:
    """What the hash of an item holds of its popularity."""
    return {
        "popularity": repr(moved.popularity),
        "popularity_at_ms": moved.popularity_at_ms,
        "trending": repr(moved.trending),
        "total_events": moved.total_events,
    }


def user_view(
    user_id: str,
    context: bytes | None,
    embedding: bytes | None,
    day: bytes | None = None,
    visit: bytes | None = None,
    *,
    interactions: Sequence[tuple[bytes, float]],
) -> UserView:
    """Put together what one round trip has read."""
    vector, version = _embedding(embedding)
    known = _context_fields(context)
    return UserView(
        user_id=user_id,
        **known,
        embedding=vector,
        embedding_version=version,
        day_vector=_direction((day or b"")[VERSION.size :], USER_DIM),
        session_vector=_visit_direction(visit or b"", known.get("total_sessions", 0)),
        recent=tuple(_readable(user_id, interactions)),
        stamp=stamp_of(context, embedding),
    )


def stamp_of(context: bytes | None, embedding: bytes | None) -> bytes:
    """The versions of a user's context and vector, as they lie there.

    >>> stamp_of(b'{"version":7,"log_time_ms":9,"timestamp_ms":5,"user_id":"u"', b"")
    b'{"version":7,"log_time_ms":9|'
    """
    head = (context or b"")[:CONTEXT_HEAD]
    return (
        (head.rpartition(b',"timestamp_ms"')[0] or head) + b"|" + (embedding or b"")[: VERSION.size]
    )


def item_view(item_id: str, changed_at_ms: int, stored: Mapping[bytes, bytes]) -> ItemView:
    """Read the hash of an item; an empty one, or a tombstone, is a deleted item.

    So is one that can't be read: whoever follows the items has to get past it.
    """
    if not stored or b"deleted" in stored:
        return ItemView(item_id=item_id, changed_at_ms=changed_at_ms, deleted=True)
    try:
        return _item(item_id, changed_at_ms, stored)
    except MISREAD as error:
        log.warning("item %s can't be read (%r), counts as deleted", item_id, error)
        return ItemView(item_id=item_id, changed_at_ms=changed_at_ms, deleted=True)


def _item(item_id: str, changed_at_ms: int, stored: Mapping[bytes, bytes]) -> ItemView:
    catalog = stored.get(b"catalog")
    return ItemView(
        item_id=item_id,
        changed_at_ms=changed_at_ms,
        version=int(stored.get(b"version", 0)),
        catalog=_catalog(json.loads(catalog)) if catalog else None,
        vector=vector_of(stored.get(b"vector"), item_id),
        popularity=float(stored.get(b"popularity", 0)),
        popularity_at_ms=int(stored.get(b"popularity_at_ms", 0)),
        trending=float(stored.get(b"trending", 0)),
        total_events=int(stored.get(b"total_events", 0)),
    )


def _items(interactions: Iterable[Interaction]) -> list[str]:
    return list(dict.fromkeys(one.item_id for one in interactions if one.item_id))


def vector_of(stored: bytes | None, owner: str) -> Vector | None:
    """The 512 floats of a vector, read-only; one of another size counts as missing."""
    if stored is None:
        return None
    if len(stored) != VECTOR_BYTES:
        log.warning("vector of %s has %d bytes, not %d", owner, len(stored), VECTOR_BYTES)
        return None
    vector = np.frombuffer(stored, "<f4")
    with np.errstate(invalid="ignore"):
        sound = np.abs(vector).max() <= LONGEST
    if not sound:
        log.warning("vector of %s has no length near 1, counts as missing", owner)
        return None
    return vector


def _embedding(stored: bytes | None) -> tuple[Vector | None, int]:
    if not stored or len(stored) < VERSION.size:
        return None, 0
    vector = vector_of(stored[VERSION.size :], "a user")
    return vector, VERSION.unpack_from(stored)[0] if vector is not None else 0


def _visit_direction(stored: bytes, session_number: int) -> Vector | None:
    """The vector of the present visit; that of an earlier one says nothing of this."""
    if len(stored) < VISIT_VERSION.size or VISIT_VERSION.unpack_from(stored)[1] != session_number:
        return None
    return _direction(stored[VISIT_VERSION.size :], SESSION_DIM)


def _direction(stored: bytes, dim: int) -> Vector | None:
    """A vector of unit length in the direction of one in half precision."""
    if len(stored) != 2 * dim:
        return None
    vector = np.frombuffer(stored, "<f2").astype(np.float32)
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if 0 < length < np.inf else None


def _context_fields(stored: bytes | None) -> dict[str, Any]:
    if stored is None:
        return {}
    try:
        return _flat_context(json.loads(stored))
    except MISREAD as error:
        kind = type(error).__name__
        log.warning("context of a user can't be read (%s), counts as missing", kind)
        return {}


def _flat_context(context: dict[str, Any]) -> dict[str, Any]:
    session, metadata = context["session_state"], context["metadata"]
    if type(metadata["personalization_consent"]) is not bool:
        raise TypeError("the consent is neither true nor false")
    return {
        "version": _whole(context["version"]),
        "timestamp_ms": _whole(context["timestamp_ms"]),
        "log_time_ms": _whole(context["log_time_ms"]),
        "first_seen_ms": _whole(metadata["first_seen"]),
        "total_interactions": _whole(metadata["total_interactions"]),
        "total_sessions": _whole(metadata["total_sessions"]),
        "session_id": _text(context["session_id"]),
        "session_start_ms": _whole(session["start_time"]),
        "session_interactions": _whole(session["interaction_count"]),
        "device_type": _text(session["device_type"]),
        "page_type": _text(session["current_page"]),
        "country": _text(session["geo_location"]["country"]),
        "consent": metadata["personalization_consent"],
        "windows": b64decode(context["windows"]),
        "affinities": b64decode(context.get("affinities", "")),
        "emotion": b64decode(context.get("emotion", "")),
        "session_last_ms": _whole(session.get("last_time", session["start_time"])),
    }


def _whole(value: Any) -> int:
    """A number as the log has them: of 64 bits."""
    if type(value) is not int or not -LIMIT <= value < LIMIT:
        raise TypeError(f"{value!r} is no whole number of 64 bits")
    return value


def _text(value: Any) -> str | None:
    if value is not None and type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return value


def _readable(user_id: str, interactions: Iterable[tuple[bytes, float]]) -> Iterator[Interaction]:
    """The interactions without those that can't be read."""
    for member, score in interactions:
        try:
            yield _interaction(member, int(score))
        except MISREAD as error:
            log.warning("an interaction of %s can't be read (%r), is passed over", user_id, error)


def _interaction(member: bytes, timestamp_ms: int) -> Interaction:
    stored = json.loads(member)
    spent_ms = stored["duration_ms"]
    return Interaction(
        event_id=stored["event_id"],
        event_type=_text(stored["action"]) or "",
        timestamp_ms=_whole(timestamp_ms),
        item_id=_text(stored["item_id"]),
        duration_ms=None if spent_ms is None else _whole(spent_ms),
        position=stored["position"],
        request_id=stored["request_id"],
        text=stored.get("text"),
    )


def _plain_catalog(catalog: ItemEvent) -> dict[str, Any]:
    record = catalog.to_record()
    return {name: record[name] for name in record if name in CATALOG_FIELDS}


def _catalog(stored: dict[str, Any]) -> ItemEvent:
    """Read an entry that an older or a newer writer may have written."""
    known: dict[str, Any] = {name: stored[name] for name in stored if name in CATALOG_FIELDS}
    known.update({name: tuple(known[name]) for name in SEQUENCES if name in known})
    return ItemEvent(**known)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
