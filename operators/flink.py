"""The one operator of every job: runs a fold inside Flink, a group of messages at a time."""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns
from typing import Any, Generic

from pyflink.common import Types
from pyflink.common.typeinfo import TypeInformation
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import MapState

from operators.bucket import Bucket
from operators.counting import Counters
from operators.expiry import bytes_by_key, times_by_key
from operators.fold import Fold, StateT
from operators.frames import group_of, incoming_of
from operators.steps import Steps

# Keys are woken at whole steps of log time.
DUE_STEP_MS = 5_000
TELL_EVERY_NS = 1_000_000_000


def group_type() -> TypeInformation:
    """How Flink sees a group of messages, coming or leaving."""
    return Types.PRIMITIVE_ARRAY(Types.BYTE())


class MapStateStore:
    """The states of Flink's current key, which is a bucket.

    The texts of RocksDB's keys stand for bytes, one character each: whatever Python will be used
    to read them, they are written the same.
    """

    def __init__(self, states: MapState, dues: MapState) -> None:
        self._states = states
        self._dues = dues

    def state(self, key: bytes) -> bytes | None:
        """The stored state of a key."""
        stored: bytes | None = self._states.get(key.decode("latin-1"))
        return stored

    def keep(self, key: bytes, state: bytes) -> None:
        """Store a state; b"" forgets it."""
        if state:
            self._states.put(key.decode("latin-1"), state)
        else:
            self._states.remove(key.decode("latin-1"))

    def dues(self) -> Iterable[tuple[bytes, int]]:
        """When each key is due."""
        return [(key.encode("latin-1"), at_ms) for key, at_ms in self._dues.items()]

    def keep_due(self, key: bytes, at_ms: int | None) -> None:
        """Store when a key is due, None for never."""
        if at_ms is None:
            self._dues.remove(key.decode("latin-1"))
        else:
            self._dues.put(key.decode("latin-1"), at_ms)


class FoldOperator(KeyedProcessFunction, Generic[StateT]):
    """Groups of messages of a bucket in; what the fold says and dead letters out, as groups.

    `make_fold` is called where the operator runs, once; it must be picklable. The lifetime only
    bounds what is stored of keys that never come back.

    Flink's key is a bucket of keys, the same subtask's until the job restarts. So states stay in
    memory, as many as `cached` says, and are written when an empty group comes: the JVM sends one
    to each bucket that had messages before every checkpoint's barrier.
    """

    def __init__(
        self,
        make_fold: Callable[[], Fold[StateT]],
        *,
        cached: int,
        lifetime_days: int | None = None,
    ) -> None:
        self._make_fold = make_fold
        self._cached = cached
        self._lifetime_days = lifetime_days

    def open(self, runtime_context: RuntimeContext) -> None:
        """Get hold of the fold, its state and the counters."""
        self._counters = Counters(runtime_context.get_metrics_group())
        self._told_ns = 0
        self._steps = Steps(self._make_fold(), counters=self._counters)
        self._store = MapStateStore(
            runtime_context.get_map_state(
                bytes_by_key("states", lifetime_days=self._lifetime_days)
            ),
            runtime_context.get_map_state(times_by_key("dues", lifetime_days=self._lifetime_days)),
        )
        self._buckets: dict[int, Bucket[StateT]] = {}
        self._timers: dict[int, int] = {}

    def process_element(self, value: bytes, ctx: Any) -> Iterator[bytes]:
        """Take a group of messages; an empty one says that states have to be written."""
        began_ns, number = perf_counter_ns(), ctx.get_current_key()
        bucket = self._bucket(number)
        out = group_of(
            bucket.take(self._counted(value), limit=self._limit()) if value else bucket.write()
        )
        self._await(number, bucket, ctx)
        self._count_time(began_ns)
        if out:
            yield out

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[bytes]:
        """Wake the keys that are due."""
        began_ns, number = perf_counter_ns(), ctx.get_current_key()
        bucket = self._bucket(number)
        self._timers.pop(number, None)
        out = group_of(bucket.wake(timestamp, limit=self._limit()))
        self._await(number, bucket, ctx)
        self._count_time(began_ns)
        if out:
            yield out

    def close(self) -> None:
        """Tell the last of what was counted."""
        self._counters.tell()

    def _bucket(self, number: int) -> Bucket[StateT]:
        found = self._buckets.get(number)
        if found is None:
            found = self._buckets[number] = Bucket(
                self._steps,
                self._store,
                counters=self._counters,
                due_step_ms=DUE_STEP_MS,
            )
        return found

    def _limit(self) -> int:
        """Each bucket's share of the states in memory; there are as many buckets as were met."""
        return max(1, self._cached // len(self._buckets))

    def _counted(self, group: bytes) -> list[Any]:
        messages = list(incoming_of(group))
        self._counters.count("events", len(messages))
        self._counters.count("groups")
        return messages

    def _await(self, number: int, bucket: Bucket[StateT], ctx: Any) -> None:
        """Have a timer for whoever of a bucket is due first."""
        next_ms = bucket.due.next_ms
        if next_ms is not None and next_ms < self._timers.get(number, next_ms + 1):
            self._timers[number] = next_ms
            ctx.timer_service().register_event_time_timer(next_ms)

    def _count_time(self, began_ns: int) -> None:
        now_ns = perf_counter_ns()
        self._counters.count("python_ns", now_ns - began_ns)
        if now_ns - self._told_ns > TELL_EVERY_NS:
            self._counters.tell()
            self._told_ns = now_ns
