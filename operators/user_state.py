"""The fold of one user: events and what was shown in; snapshots, vectors, signals, rewards out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from domain.attribution import DEFAULT_RULES, AttributionRules
from domain.emotion import TextEmotion
from domain.events import ACTION_WEIGHTS, EventLimits, impression_refusal, refusal
from domain.item_pairs import pairs_of
from domain.session import RecentItem, Session, belongs_to
from domain.user_state import KnownItem, Outcome, UserState, apply
from domain.user_state_codec import decode_user_state, encode_user_state
from operators.fold import Counting, Outgoing, RefusedError, outgoing_record
from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import (
    BANDIT_UPDATES,
    EMBEDDING_UPDATES,
    ITEM_PAIRS,
    ITEM_SIGNALS,
    PERSONALIZATION_RESULTS,
    USER_SNAPSHOTS,
)
from schemas.types import BanditUpdate, Impression, UserEvent

JOB = "user_state"


class ItemSource(Protocol):
    """Where the fold finds what the catalogue says of an item."""

    def get(self, item_id: str) -> KnownItem | None:
        """Answer the item, None for an unknown one; wait while the store is away."""
        ...


class UserFold:
    """What is known of a user, and what each message changes of it.

    `read_text` says how a text feels; without it, behaviour alone counts.
    """

    job = JOB

    def __init__(
        self,
        items: ItemSource,
        *,
        max_age_ms: int,
        max_ahead_ms: int,
        dedup_ids: int,
        rules: AttributionRules = DEFAULT_RULES,
        read_text: Callable[[str], TextEmotion | None] | None = None,
    ) -> None:
        self._items = items
        self._limits = EventLimits(max_age_ms=max_age_ms, max_ahead_ms=max_ahead_ms)
        self._dedup_ids = dedup_ids
        self._rules = rules
        self._read_text = read_text

    def empty(self) -> UserState:
        """A user who was never seen."""
        return UserState()

    def decode(self, stored: bytes) -> UserState:
        """Read a stored user."""
        return decode_user_state(stored)

    def encode(self, state: UserState) -> bytes:
        """Write a user."""
        return encode_user_state(state)

    def step(self, state: UserState, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        """Take one message of `user-events` or `personalization-results`."""
        if message.topic == PERSONALIZATION_RESULTS.name:
            return self._shown(state, message, counters)
        return self._happened(state, message, counters)

    def due_ms(self, state: UserState) -> int | None:
        """When a showing closes, or a reaction need not wait any longer."""
        return state.showings.due_ms(rules=self._rules)

    def wake(self, state: UserState, log_time_ms: int, counters: Counting) -> Iterable[Outgoing]:
        """Give what nobody has reacted to its reward of nothing."""
        out = [_reward(one) for one in state.showings.expire(log_time_ms, rules=self._rules)]
        _count_showings(state, counters)
        return out

    def _happened(self, state: UserState, message: Incoming, counters: Counting) -> list[Outgoing]:
        event = self._event(message)
        visit, earlier = state.session, tuple(state.session.recent_items)
        outcome = apply(
            state,
            event,
            item=self._item(event, counters),
            log_time_ms=message.log_time_ms,
            read_text=self._read_text,
            dedup_ids=self._dedup_ids,
            rules=self._rules,
        )
        out = list(_records(event, outcome))
        if outcome.snapshot is not None and state.session is visit:
            out += _pairs(event, visit, earlier, message.log_time_ms)
        _count(outcome, counters)
        _count_showings(state, counters)
        return out

    def _shown(self, state: UserState, message: Incoming, counters: Counting) -> list[Outgoing]:
        """Await reactions; those of a user who doesn't consent teach nobody."""
        impression = decode(message.value, Impression)
        refused = impression_refusal(impression, key=message.key)
        if refused is not None:
            raise RefusedError.of(refused)
        if not state.consent:
            counters.count("impressions_without_consent")
            return []
        updates = state.showings.show(
            impression, log_time_ms=message.log_time_ms, rules=self._rules
        )
        counters.count("impressions")
        _count_showings(state, counters)
        return [_reward(one) for one in updates]

    def _event(self, message: Incoming) -> UserEvent:
        event = decode(message.value, UserEvent)
        refused = refusal(
            event, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            raise RefusedError.of(refused)
        return event

    def _item(self, event: UserEvent, counters: Counting) -> KnownItem | None:
        if event.item_id is None or event.event_type not in ACTION_WEIGHTS:
            return None
        item = self._items.get(event.item_id)
        if item is None or item.vector is None:
            counters.count("unknown_items")
        return item


def _count(outcome: Outcome, counters: Counting) -> None:
    counters.count("duplicates" if outcome.snapshot is None else "accepted")
    if outcome.late:
        counters.count("late")
    if outcome.snapshot is not None and outcome.snapshot.erased:
        counters.count("erased")


def _count_showings(state: UserState, counters: Counting) -> None:
    for name, number in state.showings.drain_counts().items():
        counters.count(name, number)


def _records(event: UserEvent, outcome: Outcome) -> Iterator[Outgoing]:
    if outcome.embedding is not None:
        yield outgoing_record(EMBEDDING_UPDATES, event.user_id, outcome.embedding)
    if outcome.snapshot is not None:
        yield outgoing_record(USER_SNAPSHOTS, event.user_id, outcome.snapshot)
    if outcome.signal is not None:
        yield outgoing_record(ITEM_SIGNALS, outcome.signal.item_id, outcome.signal)
    for reward in outcome.rewards:
        yield _reward(reward)


def _pairs(
    event: UserEvent, visit: Session, earlier: Sequence[RecentItem], log_time_ms: int
) -> list[Outgoing]:
    """Items that the visit brings together; an event of an earlier visit pairs nothing."""
    pairs = pairs_of(event, earlier, log_time_ms=log_time_ms) if belongs_to(visit, event) else []
    return [outgoing_record(ITEM_PAIRS, pair.item_id, pair) for pair in pairs]


def _reward(update: BanditUpdate) -> Outgoing:
    return outgoing_record(BANDIT_UPDATES, f"{update.item_id}:{update.context_segment}", update)
