"""A visit: ended by another session id, or by a gap of half an hour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from domain.embedding import VISIT_DECAY_MS, FadingSum
from schemas.types import UserEvent

SESSION_GAP_MS = 30 * 60_000
RECENT_ITEMS = 10
# An item of a visit that goes on for longer is no recent one.
LONGEST_MS = 86_400_000


class RecentItem(NamedTuple):
    """An item of a visit, as it was last met."""

    item_id: str
    timestamp_ms: int
    event_type: str


def _fading_with_the_visit() -> FadingSum:
    return FadingSum(decay_ms=VISIT_DECAY_MS)


@dataclass(slots=True, kw_only=True)
class Session:
    """A visit, changed in place. `recent_items` are different ones by event time, newest last."""

    session_id: str | None = None
    start_ms: int = 0
    last_ms: int = 0
    interactions: int = 0
    recent_items: list[RecentItem] = field(default_factory=list)
    embedding: FadingSum = field(default_factory=_fading_with_the_visit)


def first_of(event: UserEvent) -> Session:
    """The visit that begins with an event.

    >>> view = UserEvent(event_id="e", user_id="u", event_type="view", timestamp_ms=7)
    >>> first_of(view).start_ms
    7
    """
    at_ms = event.timestamp_ms
    return Session(session_id=event.session_id, start_ms=at_ms, last_ms=at_ms, interactions=1)


def begins_another(session: Session, event: UserEvent) -> bool:
    """Whether a visit begins here; a straggler of an earlier visit begins none.

    >>> click = UserEvent(event_id="e", user_id="u", event_type="click", timestamp_ms=9_000_000)
    >>> begins_another(Session(last_ms=0), click)
    True
    """
    if event.timestamp_ms - session.last_ms > SESSION_GAP_MS:
        return True
    other = event.session_id is not None and session.session_id is not None
    return (
        other and event.session_id != session.session_id and event.timestamp_ms >= session.start_ms
    )


def belongs_to(session: Session, event: UserEvent) -> bool:
    """Whether an event is of this visit and not of another one."""
    return session.session_id is None or event.session_id in (None, session.session_id)


def count_in(session: Session, event: UserEvent) -> None:
    """Count an event of this visit."""
    session.session_id = session.session_id or event.session_id
    session.start_ms = min(session.start_ms, event.timestamp_ms)
    session.last_ms = max(session.last_ms, event.timestamp_ms)
    session.interactions += 1
    recent = session.recent_items
    while recent and session.last_ms - recent[0].timestamp_ms > LONGEST_MS:
        del recent[0]


def meet(session: Session, item: RecentItem) -> None:
    """Keep an item among the last ones of the visit, once, as it was last met.

    >>> session = Session(last_ms=2)
    >>> for at_ms, name in enumerate("aba"):
    ...     meet(session, RecentItem(name, at_ms, "view"))
    >>> [item.item_id for item in session.recent_items]
    ['b', 'a']
    """
    recent = session.recent_items
    if session.last_ms - item.timestamp_ms > LONGEST_MS:
        return
    for at, known in enumerate(recent):
        if known.item_id == item.item_id:
            if known.timestamp_ms > item.timestamp_ms:
                return
            del recent[at]
            break
    at = len(recent)
    while at and recent[at - 1].timestamp_ms > item.timestamp_ms:
        at -= 1
    recent.insert(at, item)
    del recent[:-RECENT_ITEMS]
