"""What is known of one user, and how an event changes it.

Everything follows from event times and the order of the log, nothing from a clock.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b

from domain.embedding import UserEmbedding, Vector, learn
from domain.windows import Windows
from schemas.types import (
    Embedding,
    EmbeddingUpdate,
    Interaction,
    ItemSignal,
    Trigger,
    UserEvent,
    UserSnapshot,
)

SESSION_GAP_MS = 30 * 60_000
DEDUP_IDS = 48


def _no_ids() -> array[int]:
    return array("Q")


@dataclass(slots=True, kw_only=True)
class Session:
    """A visit: ended by another session id, or by a gap of half an hour."""

    session_id: str | None = None
    start_ms: int = 0
    last_ms: int = 0
    interactions: int = 0


@dataclass(slots=True, kw_only=True)
class UserState:
    """One user, changed in place by `apply`."""

    version: int = 0
    first_seen_ms: int = 0
    latest_ms: int = 0
    total_interactions: int = 0
    total_sessions: int = 0
    consent: bool = True
    device_type: str | None = None
    page_type: str | None = None
    country: str | None = None
    session: Session = field(default_factory=Session)
    recent_ids: array[int] = field(default_factory=_no_ids)
    windows: Windows = field(default_factory=Windows)
    embedding: UserEmbedding = field(default_factory=UserEmbedding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an event led to; `snapshot` is None for a duplicate."""

    snapshot: UserSnapshot | None = None
    embedding: EmbeddingUpdate | None = None
    signal: ItemSignal | None = None
    late: bool = False


def apply(
    state: UserState,
    event: UserEvent,
    *,
    item_vector: Vector | None,
    log_time_ms: int,
    dedup_ids: int = DEDUP_IDS,
) -> Outcome:
    """Change a user's state by a valid event, and say what is to be told of it.

    >>> state = UserState()
    >>> view = UserEvent(event_id="e1", user_id="u1", event_type="view", timestamp_ms=1_000)
    >>> apply(state, view, item_vector=None, log_time_ms=1_200).snapshot.total_interactions
    1
    >>> apply(state, view, item_vector=None, log_time_ms=1_300).snapshot is None
    True
    """
    if not _remember(state.recent_ids, event.event_id, dedup_ids):
        return Outcome()
    timestamp_ms = event.timestamp_ms
    _count(state, timestamp_ms)
    _visit(state, event)
    _describe(state, event)
    missed = state.windows.add(event.event_type, timestamp_ms=timestamp_ms)
    learned = _learn(state, event, item_vector)
    return Outcome(
        snapshot=_snapshot(state, event, log_time_ms),
        embedding=_embedding_update(state, event) if learned else None,
        signal=_signal(event, log_time_ms) if event.item_id is not None else None,
        late=missed > 0,
    )


def _remember(recent: array[int], event_id: str, limit: int) -> bool:
    """Keep an id among the last ones; False where it is there already."""
    hashed = int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest(), "little")
    if hashed in recent:
        return False
    recent.append(hashed)
    if len(recent) > limit:
        del recent[: len(recent) - limit]
    return True


def _count(state: UserState, timestamp_ms: int) -> None:
    first = state.version == 0
    state.first_seen_ms = timestamp_ms if first else min(state.first_seen_ms, timestamp_ms)
    state.latest_ms = timestamp_ms if first else max(state.latest_ms, timestamp_ms)
    state.version += 1
    state.total_interactions += 1


def _visit(state: UserState, event: UserEvent) -> None:
    session, timestamp_ms = state.session, event.timestamp_ms
    if state.total_sessions == 0 or _begins(session, event):
        state.total_sessions += 1
        state.session = Session(
            session_id=event.session_id, start_ms=timestamp_ms, last_ms=timestamp_ms, interactions=1
        )
    elif event.session_id in (None, session.session_id) or session.session_id is None:
        session.session_id = session.session_id or event.session_id
        session.start_ms = min(session.start_ms, timestamp_ms)
        session.last_ms = max(session.last_ms, timestamp_ms)
        session.interactions += 1


def _begins(session: Session, event: UserEvent) -> bool:
    """Whether a visit begins here; a straggler of an earlier visit begins none."""
    if event.timestamp_ms - session.last_ms > SESSION_GAP_MS:
        return True
    other = event.session_id is not None and session.session_id is not None
    return (
        other and event.session_id != session.session_id and event.timestamp_ms >= session.start_ms
    )


def _describe(state: UserState, event: UserEvent) -> None:
    """Keep what the latest event says of place and device, and consent in the log's order."""
    if event.consent is not None:
        state.consent = event.consent
    if event.timestamp_ms < state.latest_ms:
        return
    state.device_type = event.device_type or state.device_type
    state.page_type = event.page_type or state.page_type
    state.country = event.country or state.country


def _learn(state: UserState, event: UserEvent, item_vector: Vector | None) -> bool:
    if item_vector is None or not state.consent:
        return False
    return learn(
        state.embedding,
        action=event.event_type,
        item_vector=item_vector,
        timestamp_ms=event.timestamp_ms,
        latest_ms=state.latest_ms,
    )


def _snapshot(state: UserState, event: UserEvent, log_time_ms: int) -> UserSnapshot:
    return UserSnapshot(
        user_id=event.user_id,
        version=state.version,
        timestamp_ms=state.latest_ms,
        log_time_ms=log_time_ms,
        first_seen_ms=state.first_seen_ms,
        total_interactions=state.total_interactions,
        total_sessions=state.total_sessions,
        session_id=state.session.session_id,
        session_start_ms=state.session.start_ms,
        session_interactions=state.session.interactions,
        device_type=state.device_type,
        page_type=state.page_type,
        country=state.country,
        consent=state.consent,
        windows=state.windows.to_bytes(),
        embedding_version=state.embedding.version,
        interaction=Interaction(
            event_id=event.event_id,
            event_type=event.event_type,
            timestamp_ms=event.timestamp_ms,
            item_id=event.item_id,
            duration_ms=event.duration_ms,
            position=event.position,
            request_id=event.request_id,
        ),
    )


def _embedding_update(state: UserState, event: UserEvent) -> EmbeddingUpdate:
    vector = state.embedding.vector.astype("<f4", copy=False).tobytes()
    return EmbeddingUpdate(
        user_id=event.user_id,
        timestamp_ms=event.timestamp_ms,
        embedding=Embedding(vector=vector, version=state.embedding.version),
        trigger=Trigger(
            interaction_id=event.event_id, action=event.event_type, item_id=event.item_id
        ),
    )


def _signal(event: UserEvent, log_time_ms: int) -> ItemSignal:
    return ItemSignal(
        item_id=event.item_id or "",
        event_id=event.event_id,
        user_id=event.user_id,
        event_type=event.event_type,
        timestamp_ms=event.timestamp_ms,
        log_time_ms=log_time_ms,
        device_type=event.device_type,
        country=event.country,
        price=event.price,
        quantity=event.quantity,
        duration_ms=event.duration_ms,
    )
