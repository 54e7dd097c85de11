"""One operator holds one item: its catalogue messages and the events around it, in one order."""

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from domain.events import EventLimits
from domain.item_state import ItemState, apply_item, apply_signal, item_refusal
from domain.item_state_codec import decode_item_state, encode_item_state
from operators.counting import Counters
from operators.messages import Incoming, dead_letter, outgoing
from schemas.codec import DecodeError, decode
from schemas.topics import ITEM_POPULARITY, ITEM_SIGNALS, ITEM_SNAPSHOTS, ITEMS
from schemas.types import ItemEvent, ItemSignal

JOB = "item_state"
# A snapshot adds two vectors and a few numbers to the catalogue message that it came from.
LARGEST_ITEM = ITEM_SNAPSHOTS.max_message_bytes - 16_384


class _RefusedError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ItemStateOperator(KeyedProcessFunction):
    """Catalogue messages and signals of an item in; snapshots, popularity and dead letters out."""

    def __init__(self, *, max_ahead_ms: int, half_life_ms: int) -> None:
        self._limits = EventLimits(max_ahead_ms=max_ahead_ms)
        self._half_life_ms = half_life_ms

    def open(self, runtime_context: RuntimeContext) -> None:
        """Get hold of the state and the counters."""
        self._state = runtime_context.get_state(
            ValueStateDescriptor("item", Types.PICKLED_BYTE_ARRAY())
        )
        self._counters = Counters(runtime_context.get_metrics_group())

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002
        """Take one message of `items` or `item-signals`."""
        message = Incoming(*value)
        stored = self._state.value()
        state = decode_item_state(stored) if stored else ItemState()
        try:
            row = self._apply(state, message)
        except (DecodeError, _RefusedError) as error:
            yield self._dead(message, error.reason, error.detail)
            return
        except Exception as error:  # noqa: BLE001
            yield self._dead(message, "internal", f"{type(error).__name__}: {error}")
            return
        if row is None:
            self._counters.count("stale")
            return
        self._counters.count("accepted")
        self._state.update(encode_item_state(state))
        yield row

    def _apply(self, state: ItemState, message: Incoming) -> Row | None:
        if message.topic == ITEM_SIGNALS.name:
            signal = decode(message.value, ItemSignal)
            moved = apply_signal(state, signal, half_life_ms=self._half_life_ms)
            return outgoing(ITEM_POPULARITY, moved.item_id, moved)
        item = self._item(message)
        snapshot = apply_item(state, item, log_time_ms=message.log_time_ms)
        return None if snapshot is None else outgoing(ITEM_SNAPSHOTS, snapshot.item_id, snapshot)

    def _item(self, message: Incoming) -> ItemEvent:
        if message.value is not None and len(message.value) > LARGEST_ITEM:
            raise _RefusedError(
                "too_large", f"{len(message.value)} bytes; at most {LARGEST_ITEM} are allowed"
            )
        item = _tombstone(message) or decode(message.value, ItemEvent)
        refused = item_refusal(
            item, key=message.key, log_time_ms=message.log_time_ms, limits=self._limits
        )
        if refused is not None:
            raise _RefusedError(refused.reason, refused.detail)
        return item

    def _dead(self, message: Incoming, reason: str, detail: str) -> Row:
        self._counters.dead_letter(reason)
        return dead_letter(message, reason=reason, detail=detail, job=JOB)


def _tombstone(message: Incoming) -> ItemEvent | None:
    """A key without a value deletes: `items` is compacted, and that is how Kafka says it."""
    if message.topic != ITEMS.name or message.value is not None or not message.key:
        return None
    return ItemEvent(
        item_id=message.key.decode(errors="replace"),
        operation="delete",
        updated_at_ms=message.log_time_ms,
    )
