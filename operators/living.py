"""Lives a log without an engine: a fold, its messages in the log's order, and states in a mapping.

`freshet backfill`, the benchmarks and the tests of the folds run this.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Generic

from operators.counting import Tally
from operators.due import Due
from operators.fold import Fold, Outgoing, StateT
from operators.messages import Incoming
from operators.steps import Held, Steps


class Living(Generic[StateT]):
    """The states of all keys, as bytes, and when each wants to be woken.

    A message says what time it is in the log: whoever was due before it is woken first.
    """

    def __init__(
        self,
        fold: Fold[StateT],
        *,
        tally: Tally | None = None,
        states: MutableMapping[bytes, bytes] | None = None,
    ) -> None:
        self.states = {} if states is None else states
        self.tally = tally or Tally()
        self._steps = Steps(fold, counters=self.tally)
        self._due = Due(step_ms=1)

    def take(self, message: Incoming) -> Iterator[Outgoing]:
        """Take one message in, and say what leaves; nothing happens until it is asked for."""
        yield from self.pass_time(message.log_time_ms - 1)
        key = message.key or b""
        held = self._held(key)
        yield from self._steps.take(held, message, self.states.get)
        if held.since:
            yield from self._keep(key, held)

    def take_all(self, messages: Iterable[Incoming]) -> Iterator[Outgoing]:
        """Take messages in, one after another."""
        for message in messages:
            yield from self.take(message)

    def pass_time(self, log_time_ms: int) -> Iterator[Outgoing]:
        """No message of this log time or before it will come any more."""
        while keys := self._due.passed(log_time_ms):
            for key in keys:
                yield from self._wake(key, log_time_ms)

    def _wake(self, key: bytes, log_time_ms: int) -> Iterator[Outgoing]:
        held = self._held(key)
        yield from self._steps.wake(held, key, log_time_ms, self.states.get)
        if held.since:
            yield from self._keep(key, held, after_ms=log_time_ms)

    def _held(self, key: bytes) -> Held[StateT]:
        return self._steps.held(self.states.get(key))

    def _keep(
        self, key: bytes, held: Held[StateT], *, after_ms: int | None = None
    ) -> Iterator[Outgoing]:
        state, dead = self._steps.encoded(held, key, self.states.get)
        yield from dead
        if state:
            self.states[key] = state
        else:
            self.states.pop(key, None)
        self._due.plan(key, self._steps.due_ms(held.state), after_ms=after_ms)
