"""One operator holds one user: reads the state, applies the event, writes the state, once each."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction, RuntimeContext

from domain.embedding import Vector
from domain.events import ACTION_WEIGHTS, EventLimits, refusal
from domain.user_state import Outcome, UserState, apply
from domain.user_state_codec import decode_user_state, encode_user_state
from operators.counting import Counters
from operators.expiry import expiring_bytes
from operators.messages import Incoming, dead_letter, outgoing
from schemas.codec import DecodeError, decode
from schemas.topics import EMBEDDING_UPDATES, ITEM_SIGNALS, USER_SNAPSHOTS
from schemas.types import UserEvent

JOB = "user_state"


class ItemVectorSource(Protocol):
    """Where the operator finds the vector of an item."""

    def get(self, item_id: str) -> Vector | None:
        """Answer the vector, None for an item that has none; wait while the store is away."""
        ...


class UserStateOperator(KeyedProcessFunction):
    """Events of a user in; snapshots, vectors, signals to items and dead letters out.

    `item_vectors` is called where the operator runs, once; it must be picklable. The lifetime only
    bounds what is stored of users who never come back.
    """

    def __init__(
        self,
        item_vectors: Callable[[], ItemVectorSource],
        *,
        max_age_ms: int,
        max_ahead_ms: int,
        dedup_ids: int,
        lifetime_days: int,
    ) -> None:
        self._make_item_vectors = item_vectors
        self._limits = EventLimits(max_age_ms=max_age_ms, max_ahead_ms=max_ahead_ms)
        self._dedup_ids = dedup_ids
        self._lifetime_days = lifetime_days

    def open(self, runtime_context: RuntimeContext) -> None:
        """Get hold of the state, the counters and the item vectors."""
        self._state = runtime_context.get_state(
            expiring_bytes("user", lifetime_days=self._lifetime_days)
        )
        self._counters = Counters(runtime_context.get_metrics_group())
        self._item_vectors = self._make_item_vectors()

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002
        """Take one message of `user-events`."""
        message = Incoming(*value)
        try:
            event = decode(message.value, UserEvent)
        except DecodeError as error:
            yield self._dead(message, error.reason, error.detail)
            return
        refused = refusal(
            event, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            yield self._dead(message, refused.reason, refused.detail)
            return
        yield from self._accept(message, event)

    def _accept(self, message: Incoming, event: UserEvent) -> Iterator[Row]:
        """A bug that one record sets off costs that record, with its error told, not the job."""
        vector = self._item_vector(event)
        stored = self._state.value()
        state = decode_user_state(stored) if stored else UserState()
        try:
            outcome = apply(
                state,
                event,
                item_vector=vector,
                log_time_ms=message.log_time_ms,
                dedup_ids=self._dedup_ids,
            )
            rows = list(_rows(event, outcome))
            changed = encode_user_state(state)
        except Exception as error:  # noqa: BLE001
            yield self._dead(message, "internal", f"{type(error).__name__}: {error}")
            return
        self._count(outcome)
        if outcome.snapshot is not None:
            self._state.update(changed)
        yield from rows

    def _item_vector(self, event: UserEvent) -> Vector | None:
        if event.item_id is None or event.event_type not in ACTION_WEIGHTS:
            return None
        vector = self._item_vectors.get(event.item_id)
        if vector is None:
            self._counters.count("unknown_items")
        return vector

    def _count(self, outcome: Outcome) -> None:
        self._counters.count("duplicates" if outcome.snapshot is None else "accepted")
        if outcome.late:
            self._counters.count("late")

    def _dead(self, message: Incoming, reason: str, detail: str) -> Row:
        self._counters.dead_letter(reason)
        return dead_letter(message, reason=reason, detail=detail, job=JOB)


def _rows(event: UserEvent, outcome: Outcome) -> Iterator[Row]:
    if outcome.embedding is not None:
        yield outgoing(EMBEDDING_UPDATES, event.user_id, outcome.embedding)
    if outcome.snapshot is not None:
        yield outgoing(USER_SNAPSHOTS, event.user_id, outcome.snapshot)
    if outcome.signal is not None:
        yield outgoing(ITEM_SIGNALS, outcome.signal.item_id, outcome.signal)
