"""The fold of one item: its catalogue messages and the events around it, in one order."""

from collections.abc import Iterable

from domain.events import EventLimits
from domain.item_state import ItemState, apply_item, apply_signal, item_refusal
from domain.item_state_codec import decode_item_state, encode_item_state
from operators.fold import Counting, Outgoing, RefusedError, outgoing_record
from operators.messages import Incoming
from schemas.codec import decode
from schemas.topics import ITEM_POPULARITY, ITEM_SIGNALS, ITEM_SNAPSHOTS, ITEMS
from schemas.types import ItemEvent, ItemSignal

JOB = "item_state"
# A snapshot adds two vectors and a few numbers to the catalogue message that it came from.
LARGEST_ITEM = ITEM_SNAPSHOTS.max_message_bytes - 16_384


class ItemFold:
    """What is known of an item: catalogue messages and signals in, snapshots and popularity out."""

    job = JOB

    def __init__(self, *, max_ahead_ms: int, half_life_ms: int) -> None:
        self._limits = EventLimits(max_ahead_ms=max_ahead_ms)
        self._half_life_ms = half_life_ms

    def empty(self) -> ItemState:
        """An item that nobody heard of."""
        return ItemState()

    def decode(self, stored: bytes) -> ItemState:
        """Read a stored item."""
        return decode_item_state(stored)

    def encode(self, state: ItemState) -> bytes:
        """Write an item."""
        return encode_item_state(state)

    def step(self, state: ItemState, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        """Take one message of `items` or `item-signals`."""
        if message.topic == ITEM_SIGNALS.name:
            out = self._signal(state, message)
        else:
            out = self._item(state, message)
        counters.count("accepted" if out else "stale")
        return out

    def due_ms(self, state: ItemState) -> int | None:  # noqa: ARG002
        """Items wait for nothing."""
        return None

    def wake(
        self,
        state: ItemState,  # noqa: ARG002
        log_time_ms: int,  # noqa: ARG002
        counters: Counting,  # noqa: ARG002
    ) -> Iterable[Outgoing]:
        """Nothing is ever due."""
        return ()

    def _signal(self, state: ItemState, message: Incoming) -> tuple[Outgoing, ...]:
        signal = decode(message.value, ItemSignal)
        moved = apply_signal(state, signal, half_life_ms=self._half_life_ms)
        return (outgoing_record(ITEM_POPULARITY, moved.item_id, moved),)

    def _item(self, state: ItemState, message: Incoming) -> tuple[Outgoing, ...]:
        item = self._valid(message)
        snapshot = apply_item(state, item, log_time_ms=message.log_time_ms)
        if snapshot is None:
            return ()
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
