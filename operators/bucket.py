"""The keys of one bucket: the states in use, and what of them has to be written."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol

from operators.due import Due
from operators.fold import Outgoing, StateT
from operators.messages import Incoming
from operators.steps import DeadCounting, Held, Steps

# A state that took in so many messages is written, so that putting it back stays quick.
LONGEST_SINCE = 64
# A message as large as this isn't kept until the next barrier: its state is written at once.
LARGE_BYTES = 65_536
# Whoever gets so few messages at a time is not behind, and has time to write in between.
FEW_MESSAGES = 4


class Store(Protocol):
    """What is kept of the current bucket beyond the memory of a process."""

    def state(self, key: bytes) -> bytes | None:
        """The stored state of a key."""
        ...

    def keep(self, key: bytes, state: bytes) -> None:
        """Store a state; b"" forgets it."""
        ...

    def dues(self) -> Iterable[tuple[bytes, int]]:
        """When each key is due."""
        ...

    def keep_due(self, key: bytes, at_ms: int | None) -> None:
        """Store when a key is due, None for never."""
        ...


class Bucket(Generic[StateT]):
    """States of a bucket's keys, at most `limit` after each call. Written when told to."""

    def __init__(
        self,
        steps: Steps[StateT],
        store: Store,
        *,
        counters: DeadCounting,
        due_step_ms: int,
    ) -> None:
        self.due = Due(step_ms=due_step_ms)
        self.due.load(store.dues())
        self._steps = steps
        self._store = store
        self._counters = counters
        self._held: OrderedDict[bytes, Held[StateT]] = OrderedDict()
        self._unwritten: OrderedDict[bytes, None] = OrderedDict()
        self._told_later = False

    def take(self, messages: Sequence[Incoming], *, limit: int) -> Iterator[Outgoing]:
        """Take messages in, one after another, and let go of states that are too many.

        Where they are few, states that changed a while ago are written, so that there is little
        left to write when a barrier waits for it.
        """
        self._told_later = True
        for message in messages:
            key = message.key or b""
            held = self._state(key)
            before = len(held.since)
            yield from self._steps.take(held, message, self._store.state)
            if len(held.since) > before:
                self._changed(key)
                self.due.plan(key, self._steps.due_ms(held.state))
                if len(held.since) > LONGEST_SINCE or len(message.value or b"") > LARGE_BYTES:
                    yield from self._write(key, held)
        if len(messages) <= FEW_MESSAGES:
            yield from self._write_longest_unwritten(2 * len(messages))
        yield from self._let_go(limit)

    def wake(self, log_time_ms: int, *, limit: int) -> Iterator[Outgoing]:
        """Wake who is due. After a bug a key sleeps until a message.

        A bucket that had messages will be told to write; another writes at once.
        """
        for key in self.due.passed(log_time_ms):
            self._counters.count("wakes")
            held = self._state(key)
            before = len(held.since)
            yield from self._steps.wake(held, key, log_time_ms, self._store.state)
            if len(held.since) > before:
                self._changed(key)
                self.due.plan(key, self._steps.due_ms(held.state), after_ms=log_time_ms)
            if not self._told_later:
                yield from self._write(key, held)
        yield from self._let_go(limit)

    def write(self) -> Iterator[Outgoing]:
        """Write every state that changed since it was last written."""
        self._told_later = False
        for key in tuple(self._unwritten):
            yield from self._write(key, self._held[key])

    def _changed(self, key: bytes) -> None:
        self._unwritten[key] = None
        self._unwritten.move_to_end(key)

    def _write_longest_unwritten(self, most: int) -> Iterator[Outgoing]:
        """All but the one that changed last, which may well change again."""
        for key in tuple(islice(self._unwritten, min(most, max(0, len(self._unwritten) - 1)))):
            yield from self._write(key, self._held[key])

    def _state(self, key: bytes) -> Held[StateT]:
        held = self._held.get(key)
        if held is None:
            self._counters.count("cache_misses")
            held = self._held[key] = self._steps.held(self._store.state(key))
        else:
            self._held.move_to_end(key)
        return held

    def _let_go(self, limit: int) -> Iterator[Outgoing]:
        while len(self._held) > limit:
            key, held = self._held.popitem(last=False)
            if held.since:
                yield from self._write(key, held)

    def _write(self, key: bytes, held: Held[StateT]) -> Iterator[Outgoing]:
        state, dead = self._steps.encoded(held, key, self._store.state)
        yield from dead
        self._store.keep(key, state)
        held.since.clear()
        self._unwritten.pop(key, None)
        self._counters.count("states_written")
        self._counters.count("state_bytes_written", len(state))
        if key in self.due.changed:
            self._store.keep_due(key, self.due.at_ms(key))
            self.due.changed.discard(key)
