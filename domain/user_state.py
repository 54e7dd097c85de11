"""What is known of one user, and how an event changes it.

Everything follows from event times and the order of the log, nothing from a clock.

Without consent nothing is learned and nothing of what was learned is kept: only that there is none,
how many messages have left, the times of the first and the latest event, and ids of the last events
so that none counts twice. Who consents again begins anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Protocol

from domain.affinity import BOUGHT, Affinities, category_of, weight_of
from domain.attribution import DEFAULT_RULES, AttributionRules, Showings
from domain.embedding import FadingSum, UserEmbedding, Vector, fold, learn
from domain.emotion import WRITTEN, EmotionState, TextEmotion, feel
from domain.events import ACTION_WEIGHTS
from domain.recent_ids import remember
from domain.session import (
    RecentItem,
    Session,
    begins_another,
    belongs_to,
    count_in,
    first_of,
    meet,
)
from domain.windows import Windows
from schemas.types import (
    BanditUpdate,
    Embedding,
    EmbeddingUpdate,
    Interaction,
    ItemSignal,
    Trigger,
    UserEvent,
    UserSnapshot,
)

DEDUP_IDS = 48
TEXT_BYTES = 128
ReadText = Callable[[str], TextEmotion | None]
LOOKS = frozenset({"view", "dwell"})


class KnownItem(Protocol):
    """What the catalogue says of the item of an event."""

    @property
    def vector(self) -> Vector | None:
        """512 numbers of unit length."""
        ...

    @property
    def category(self) -> str | None:
        """The category's id."""
        ...

    @property
    def price(self) -> float | None:
        """The price of one."""
        ...


def _no_ids() -> array[int]:
    return array("Q")


@dataclass(slots=True, kw_only=True)
class UserState:
    """One user, changed in place by `apply`; `showings` by what was shown to them too."""

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
    affinities: Affinities = field(default_factory=Affinities)
    embedding: UserEmbedding = field(default_factory=UserEmbedding)
    emotion: EmotionState = field(default_factory=EmotionState)
    showings: Showings = field(default_factory=Showings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an event led to; `snapshot` is None for a duplicate."""

    snapshot: UserSnapshot | None = None
    embedding: EmbeddingUpdate | None = None
    signal: ItemSignal | None = None
    rewards: tuple[BanditUpdate, ...] = ()
    late: bool = False


def apply(
    state: UserState,
    event: UserEvent,
    *,
    item: KnownItem | None,
    log_time_ms: int,
    read_text: ReadText | None = None,
    dedup_ids: int = DEDUP_IDS,
    rules: AttributionRules = DEFAULT_RULES,
) -> Outcome:
    """Change a user's state by a valid event, and say what is to be told of it.

    `item` is what the catalogue says of the event's item, None where it doesn't; `read_text` says
    how a text feels.

    >>> state = UserState()
    >>> view = UserEvent(event_id="e1", user_id="u1", event_type="view", timestamp_ms=1_000)
    >>> apply(state, view, item=None, log_time_ms=1_200).snapshot.total_interactions
    1
    >>> apply(state, view, item=None, log_time_ms=1_300).snapshot is None
    True
    """
    if event.event_type == "erase":
        return _erase(state, event, log_time_ms)
    if not remember(state.recent_ids, event.event_id, limit=dedup_ids):
        return Outcome()
    _mark(state, event.timestamp_ms)
    if event.consent is not None and event.consent != state.consent:
        _forget_what_was_learned(state)
        state.consent = event.consent
    if not state.consent:
        return _unlearned(state, event, log_time_ms)
    written = event.text if event.event_type in WRITTEN else None
    text = read_text(written) if read_text is not None and written else None
    return _learned(state, event, item, text, log_time_ms, rules)


def _erase(state: UserState, event: UserEvent, log_time_ms: int) -> Outcome:
    """Forget the user, and tell whoever keeps something of them."""
    erased = UserSnapshot(
        user_id=event.user_id,
        version=state.version + 1,
        timestamp_ms=event.timestamp_ms,
        log_time_ms=log_time_ms,
        first_seen_ms=event.timestamp_ms,
        total_interactions=0,
        total_sessions=0,
        session_id=state.session.session_id,
        interaction=_bare(event),
        erased=True,
    )
    version = state.embedding.version + 1
    forget(state)
    return Outcome(snapshot=erased, embedding=_erased_embedding(event, version, log_time_ms))


def forget(state: UserState) -> None:
    """Make a state that of a user who was never seen.

    >>> state = UserState(version=7)
    >>> forget(state)
    >>> state.version
    0
    """
    blank = UserState()
    for one in fields(UserState):
        setattr(state, one.name, getattr(blank, one.name))


def _forget_what_was_learned(state: UserState) -> None:
    """Keep what the module's docstring says; versions go on, so that what is told later wins."""
    version, embedding_version = state.version, state.embedding.version
    first_seen_ms, latest_ms, recent_ids = state.first_seen_ms, state.latest_ms, state.recent_ids
    forget(state)
    state.version, state.embedding.version = version, embedding_version + 1
    state.first_seen_ms, state.latest_ms = first_seen_ms, latest_ms
    state.recent_ids = recent_ids


def _mark(state: UserState, timestamp_ms: int) -> None:
    first = state.version == 0
    state.first_seen_ms = timestamp_ms if first else min(state.first_seen_ms, timestamp_ms)
    state.latest_ms = timestamp_ms if first else max(state.latest_ms, timestamp_ms)
    state.version += 1


def _unlearned(state: UserState, event: UserEvent, log_time_ms: int) -> Outcome:
    """The outcome of an event of who doesn't consent; whoever says so again is forgotten again."""
    withdrawn = event.consent is False
    version = state.embedding.version
    return Outcome(
        snapshot=_snapshot(state, event, _bare(event), log_time_ms),
        embedding=_erased_embedding(event, version, log_time_ms) if withdrawn else None,
        signal=_signal(event, "", log_time_ms) if event.item_id is not None else None,
    )


def _learned(
    state: UserState,
    event: UserEvent,
    item: KnownItem | None,
    text: TextEmotion | None,
    log_time_ms: int,
    rules: AttributionRules,
) -> Outcome:
    state.total_interactions += 1
    in_visit = _visit(state, event)
    _describe(state, event)
    late = _aggregate(state, event, item)
    feel(state.emotion, event=event, text=text, timestamp_ms=event.timestamp_ms)
    moved = _learn(state, event, item, in_visit=in_visit)
    outcome = Outcome(
        snapshot=_snapshot(state, event, _interaction(event), log_time_ms),
        embedding=None if moved is None else _embedding_update(state, event, moved, log_time_ms),
        signal=_signal(event, event.user_id, log_time_ms) if event.item_id is not None else None,
        rewards=tuple(state.showings.react(event, log_time_ms=log_time_ms, rules=rules)),
        late=late,
    )
    if in_visit and event.item_id is not None:
        meet(state.session, RecentItem(event.item_id, event.timestamp_ms, event.event_type))
    return outcome


def _visit(state: UserState, event: UserEvent) -> bool:
    """Count the event in its visit; False where that is an earlier one than the current."""
    session = state.session
    if state.total_sessions == 0 or begins_another(session, event):
        state.total_sessions += 1
        state.session = first_of(event)
        return True
    if belongs_to(session, event):
        count_in(session, event)
        return True
    return False


def _describe(state: UserState, event: UserEvent) -> None:
    """Keep what the latest event says of place and device."""
    if event.timestamp_ms < state.latest_ms:
        return
    state.device_type = event.device_type or state.device_type
    state.page_type = event.page_type or state.page_type
    state.country = event.country or state.country


def _aggregate(state: UserState, event: UserEvent, item: KnownItem | None) -> bool:
    """Count the event in windows and affinities; True where it came too late for a window."""
    price = event.price if event.price is not None or item is None else item.price
    missed = state.windows.add(
        event.event_type,
        timestamp_ms=event.timestamp_ms,
        item_id=event.item_id,
        category=_category(state, event, item),
        duration_ms=event.duration_ms if event.event_type in LOOKS else None,
        spend=_spend(event, price),
    )
    if price is not None and ACTION_WEIGHTS.get(event.event_type, 0.0) > 0.0:
        state.affinities.price(price, bought=event.event_type in BOUGHT)
    return missed > 0


def _spend(event: UserEvent, price: float | None) -> float:
    if event.event_type != "purchase" or price is None:
        return 0.0
    return price * (1 if event.quantity is None else event.quantity)


def _category(state: UserState, event: UserEvent, item: KnownItem | None) -> int | None:
    category = category_of(event, catalogue=None if item is None else item.category)
    if category is None:
        return None
    number = state.affinities.number_of(category, in_use=state.windows.categories_in_use)
    state.affinities.add(number, weight_of(event), timestamp_ms=event.timestamp_ms)
    return number


def _learn(
    state: UserState, event: UserEvent, item: KnownItem | None, *, in_visit: bool
) -> Vector | None:
    if item is None or item.vector is None:
        return None
    moved = learn(
        state.embedding,
        action=event.event_type,
        item_vector=item.vector,
        timestamp_ms=event.timestamp_ms,
        latest_ms=state.latest_ms,
    )
    if moved is not None and in_visit:
        weight = ACTION_WEIGHTS[event.event_type]
        folded = fold(item.vector)
        state.session.embedding.add(folded, weight, timestamp_ms=event.timestamp_ms)
    return moved


def _snapshot(
    state: UserState, event: UserEvent, interaction: Interaction, log_time_ms: int
) -> UserSnapshot:
    session = state.session
    return UserSnapshot(
        user_id=event.user_id,
        version=state.version,
        timestamp_ms=state.latest_ms,
        log_time_ms=log_time_ms,
        first_seen_ms=state.first_seen_ms,
        total_interactions=state.total_interactions,
        total_sessions=state.total_sessions,
        session_id=session.session_id,
        session_start_ms=session.start_ms,
        session_last_ms=session.last_ms,
        session_interactions=session.interactions,
        device_type=state.device_type,
        page_type=state.page_type,
        country=state.country,
        consent=state.consent,
        windows=state.windows.to_bytes(),
        affinities=state.affinities.to_bytes(),
        emotion=state.emotion.to_bytes() if state.consent else b"",
        embedding_version=state.embedding.version,
        interaction=interaction,
    )


def _interaction(event: UserEvent) -> Interaction:
    searched = event.text is not None and event.event_type == "search"
    return Interaction(
        event_id=event.event_id,
        event_type=event.event_type,
        timestamp_ms=event.timestamp_ms,
        item_id=event.item_id,
        duration_ms=event.duration_ms,
        position=event.position,
        request_id=event.request_id,
        text=_cut(event.text or "") if searched else None,
    )


def _bare(event: UserEvent) -> Interaction:
    """An event without anything that it says of the user's taste."""
    return Interaction(
        event_id=event.event_id, event_type=event.event_type, timestamp_ms=event.timestamp_ms
    )


def _cut(text: str) -> str:
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")


def _embedding_update(
    state: UserState, event: UserEvent, moved: Vector, log_time_ms: int
) -> EmbeddingUpdate:
    embedding = state.embedding
    return EmbeddingUpdate(
        user_id=event.user_id,
        timestamp_ms=event.timestamp_ms,
        log_time_ms=log_time_ms,
        embedding=Embedding(
            vector=moved.astype("<f4", copy=False).tobytes(), version=embedding.version
        ),
        day_vector=_direction(embedding.day),
        session_vector=_direction(state.session.embedding),
        session_number=state.total_sessions,
        recompute_due=embedding.recompute_due,
        trigger=Trigger(
            interaction_id=event.event_id, action=event.event_type, item_id=event.item_id
        ),
    )


def _direction(fading: FadingSum) -> bytes:
    """Where a sum points to; half precision holds its steps as they are."""
    return b"" if fading.vector is None else fading.vector.steps.astype("<f2").tobytes()


def _erased_embedding(event: UserEvent, version: int, log_time_ms: int) -> EmbeddingUpdate:
    return EmbeddingUpdate(
        user_id=event.user_id,
        timestamp_ms=event.timestamp_ms,
        log_time_ms=log_time_ms,
        embedding=Embedding(vector=b"", version=version),
        erased=True,
    )


def _signal(event: UserEvent, user_id: str, log_time_ms: int) -> ItemSignal:
    return ItemSignal(
        item_id=event.item_id or "",
        event_id=event.event_id,
        user_id=user_id,
        event_type=event.event_type,
        timestamp_ms=event.timestamp_ms,
        log_time_ms=log_time_ms,
        device_type=event.device_type,
        country=event.country,
        price=event.price,
        quantity=event.quantity,
        duration_ms=event.duration_ms,
        completion_rate=event.completion_rate,
    )
