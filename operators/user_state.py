"""The fold of one user: events in; snapshots, vectors and signals to items out."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from domain.embedding import Vector
from domain.events import ACTION_WEIGHTS, EventLimits, refusal
from domain.user_state import Outcome, UserState, apply
from domain.user_state_codec import decode_user_state, encode_user_state
from operators.fold import Counting, Outgoing, RefusedError, outgoing_record
from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import EMBEDDING_UPDATES, ITEM_SIGNALS, USER_SNAPSHOTS
from schemas.types import UserEvent

JOB = "user_state"


class ItemVectorSource(Protocol):
    """Where the fold finds the vector of an item."""

    def get(self, item_id: str) -> Vector | None:
        """Answer the vector, None for an item that has none; wait while the store is away."""
        ...


class UserFold:
    """What is known of a user, and what each message changes of it."""

    job = JOB

    def __init__(
        self,
        item_vectors: ItemVectorSource,
        *,
        max_age_ms: int,
        max_ahead_ms: int,
        dedup_ids: int,
    ) -> None:
        self._item_vectors = item_vectors
        self._limits = EventLimits(max_age_ms=max_age_ms, max_ahead_ms=max_ahead_ms)
        self._dedup_ids = dedup_ids

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
        """Take one message of `user-events`."""
        event = self._event(message)
        outcome = apply(
            state,
            event,
            item_vector=self._item_vector(event, counters),
            log_time_ms=message.log_time_ms,
            dedup_ids=self._dedup_ids,
        )
        out = list(_records(event, outcome))
        _count(outcome, counters)
        return out

    def due_ms(self, state: UserState) -> int | None:  # noqa: ARG002
        """Users wait for nothing."""
        return None

    def wake(
        self,
        state: UserState,  # noqa: ARG002
        log_time_ms: int,  # noqa: ARG002
        counters: Counting,  # noqa: ARG002
    ) -> Iterable[Outgoing]:
        """Nothing is ever due."""
        return ()

    def _event(self, message: Incoming) -> UserEvent:
        event = decode(message.value, UserEvent)
        refused = refusal(
            event, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            raise RefusedError.of(refused)
        return event

    def _item_vector(self, event: UserEvent, counters: Counting) -> Vector | None:
        if event.item_id is None or event.event_type not in ACTION_WEIGHTS:
            return None
        vector = self._item_vectors.get(event.item_id)
        if vector is None:
            counters.count("unknown_items")
        return vector


def _count(outcome: Outcome, counters: Counting) -> None:
    counters.count("duplicates" if outcome.snapshot is None else "accepted")
    if outcome.late:
        counters.count("late")


def _records(event: UserEvent, outcome: Outcome) -> Iterator[Outgoing]:
    if outcome.embedding is not None:
        yield outgoing_record(EMBEDDING_UPDATES, event.user_id, outcome.embedding)
    if outcome.snapshot is not None:
        yield outgoing_record(USER_SNAPSHOTS, event.user_id, outcome.snapshot)
    if outcome.signal is not None:
        yield outgoing_record(ITEM_SIGNALS, outcome.signal.item_id, outcome.signal)
