"""Lives a log without an engine: a fold, its messages in the log's order, and states in a dict.

`freshet backfill`, the benchmarks and the tests of the folds run this.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import Generic

from operators.counting import Tally
from operators.fold import Fold, Outgoing, StateT
from operators.messages import Incoming
from operators.steps import Held, Steps


class Living(Generic[StateT]):
    """The states of all keys, as bytes, and when each wants to be woken.

    A message says what time it is in the log: whoever was due before it is woken first.
    """

    def __init__(self, fold: Fold[StateT], *, tally: Tally | None = None) -> None:
        self.states: dict[bytes, bytes] = {}
        self.tally = tally or Tally()
        self._fold = fold
        self._steps = Steps(fold, counters=self.tally)
        self._due: dict[bytes, int] = {}
        self._waiting: list[tuple[int, bytes]] = []

    def take(self, message: Incoming) -> Iterator[Outgoing]:
        """Take one message in, and say what leaves; nothing happens until it is asked for."""
        yield from self.pass_time(message.log_time_ms - 1)
        key = message.key or b""
        held = self._held(key)
        yield from self._steps.take(held, message)
        self._keep(key, held)

    def take_all(self, messages: Iterable[Incoming]) -> Iterator[Outgoing]:
        """Take messages in, one after another."""
        for message in messages:
            yield from self.take(message)

    def pass_time(self, log_time_ms: int) -> Iterator[Outgoing]:
        """No message of this log time or before it will come any more."""
        while self._waiting and self._waiting[0][0] <= log_time_ms:
            due_ms, key = heapq.heappop(self._waiting)
            if self._due.get(key) == due_ms:
                yield from self._wake(key, log_time_ms)

    def _wake(self, key: bytes, log_time_ms: int) -> Iterator[Outgoing]:
        del self._due[key]
        held = self._held(key)
        yield from self._steps.wake(held, key, log_time_ms)
        self._keep(key, held)

    def _held(self, key: bytes) -> Held[StateT]:
        return self._steps.held(self.states.get(key))

    def _keep(self, key: bytes, held: Held[StateT]) -> None:
        if held.since:
            self._put(key, self._fold.encode(held.state))
            self._plan(key, self._fold.due_ms(held.state))

    def _put(self, key: bytes, stored: bytes) -> None:
        if stored:
            self.states[key] = stored
        else:
            self.states.pop(key, None)

    def _plan(self, key: bytes, due_ms: int | None) -> None:
        if due_ms is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due_ms:
            self._due[key] = due_ms
            heapq.heappush(self._waiting, (due_ms, key))
