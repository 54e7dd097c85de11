"""The fold of one item: its catalogue messages and the events around it, in one order."""

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from domain.events import EventLimits
from domain.fusion import Fusion
from domain.item_state import (
    TELL_EVERY_MS,
    ItemState,
    apply_item,
    apply_pair,
    apply_signal,
    item_refusal,
    tell,
    telling_due_ms,
)
from domain.item_state_codec import decode_item_state, encode_item_state
from domain.neighbors import HALF_LIVES_MS, SIZE, Neighbors, with_half_lives
from operators.fold import Counting, Outgoing, RefusedError, outgoing_record
from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import (
    ITEM_ENGAGEMENT,
    ITEM_NEIGHBORS,
    ITEM_PAIRS,
    ITEM_POPULARITY,
    ITEM_SIGNALS,
    ITEM_SNAPSHOTS,
    ITEMS,
)
from schemas.types import ItemEngagement, ItemEvent, ItemPair, ItemSignal

JOB = "item_state"
# A snapshot adds two vectors and a few numbers to the catalogue message that it came from.
LARGEST_ITEM = ITEM_SNAPSHOTS.max_message_bytes - 16_384


class NeighborLimits(NamedTuple):
    """How many neighbours an item has, how fast they fade, and how often a busy item tells."""

    size: int = SIZE
    half_lives_ms: tuple[int, ...] = HALF_LIVES_MS
    tell_every_ms: int = TELL_EVERY_MS


class ItemFold:
    """What is known of an item: its catalogue messages, the events around it, and its company."""

    job = JOB

    def __init__(
        self,
        *,
        max_ahead_ms: int,
        half_life_ms: int,
        neighbors: NeighborLimits = NeighborLimits(),  # noqa: B008
        fusion: Fusion | None = None,
    ) -> None:
        self._limits = EventLimits(max_ahead_ms=max_ahead_ms)
        self._half_life_ms = half_life_ms
        self._neighbors = neighbors
        self._fusion = fusion

    def empty(self) -> ItemState:
        """An item that nobody heard of."""
        return ItemState(neighbors=Neighbors(half_lives_ms=self._neighbors.half_lives_ms))

    def decode(self, stored: bytes) -> ItemState:
        """Read a stored item."""
        state = decode_item_state(stored)
        state.neighbors = with_half_lives(state.neighbors, self._neighbors.half_lives_ms)
        return state

    def encode(self, state: ItemState) -> bytes:
        """Write an item."""
        return encode_item_state(state)

    def step(self, state: ItemState, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        """Take one message of `items`, `item-signals` or `item-pairs`."""
        out = self._taken(state, message)
        counters.count("stale" if out is None else "accepted")
        state.log_time_ms = max(state.log_time_ms, message.log_time_ms)
        return (*(out or ()), *self._overdue(state, message.log_time_ms))

    def _taken(self, state: ItemState, message: Incoming) -> tuple[Outgoing, ...] | None:
        if message.topic == ITEM_SIGNALS.name:
            return self._signal(state, message)
        if message.topic == ITEM_PAIRS.name:
            return self._pair(state, message)
        return self._item(state, message)

    def due_ms(self, state: ItemState) -> int | None:
        """When to tell of what moved."""
        return telling_due_ms(state, every_ms=self._neighbors.tell_every_ms)

    def wake(
        self,
        state: ItemState,
        log_time_ms: int,
        counters: Counting,  # noqa: ARG002
    ) -> Iterable[Outgoing]:
        """Tell of what moved; the next time counts from when it was due, however late this is."""
        due_ms = self.due_ms(state)
        return () if due_ms is None or log_time_ms < due_ms else self._told(state, due_ms)

    def _overdue(self, state: ItemState, log_time_ms: int) -> tuple[Outgoing, ...]:
        due_ms = self.due_ms(state)
        if due_ms is None or log_time_ms < due_ms:
            return ()
        return self._told(state, log_time_ms)

    def _told(self, state: ItemState, at_ms: int) -> tuple[Outgoing, ...]:
        told = tell(state, at_ms=at_ms, size=self._neighbors.size)
        return tuple(
            outgoing_record(
                ITEM_ENGAGEMENT if isinstance(record, ItemEngagement) else ITEM_NEIGHBORS,
                record.item_id,
                record,
            )
            for record in told
        )

    def _signal(self, state: ItemState, message: Incoming) -> tuple[Outgoing, ...]:
        signal = decode(message.value, ItemSignal)
        state.item_id = signal.item_id
        moved = apply_signal(state, signal, half_life_ms=self._half_life_ms)
        return (outgoing_record(ITEM_POPULARITY, moved.item_id, moved),)

    def _pair(self, state: ItemState, message: Incoming) -> tuple[Outgoing, ...]:
        pair = decode(message.value, ItemPair)
        if len(pair.others) != len(pair.weights) or not all(0 < one < inf for one in pair.weights):
            raise RefusedError(
                "bad_weight",
                f"{len(pair.others)} others with weights {pair.weights}; "
                "each needs one, finite and above 0",
            )
        state.item_id = pair.item_id
        apply_pair(state, pair, size=self._neighbors.size)
        return ()

    def _item(self, state: ItemState, message: Incoming) -> tuple[Outgoing, ...] | None:
        item = self._valid(message)
        snapshot = apply_item(state, item, log_time_ms=message.log_time_ms, fusion=self._fusion)
        if snapshot is None:
            return None
        return (outgoing_record(ITEM_SNAPSHOTS, snapshot.item_id, snapshot),)

    def _valid(self, message: Incoming) -> ItemEvent:
        if message.value is not None and len(message.value) > LARGEST_ITEM:
            raise RefusedError(
                "too_large", f"{len(message.value)} bytes; at most {LARGEST_ITEM} are allowed"
            )
        item = _tombstone(message) or decode(message.value, ItemEvent)
        refused = item_refusal(
            item, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            raise RefusedError.of(refused)
        return item


def _tombstone(message: Incoming) -> ItemEvent | None:
    """A key without a value deletes: `items` is compacted, and that is how Kafka says it."""
    if message.topic != ITEMS.name or message.value is not None or not message.key:
        return None
    return ItemEvent(
        item_id=message.key.decode(errors="replace"),
        operation="delete",
        updated_at_ms=message.log_time_ms,
    )
