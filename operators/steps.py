"""Takes messages into the state of a key, whatever they are and whatever they set off."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol

from operators.dead_letters import dead_letter
from operators.fold import Counting, Fold, Outgoing, RefusedError, StateT
from operators.messages import Incoming
from schemas.codec import DecodeError

# Whence the bytes of a key's state are read again when it has to be put back.
Stored = Callable[[bytes], bytes | None]


class DeadCounting(Counting, Protocol):
    """Where dead letters are counted too."""

    def dead_letter(self, reason: str) -> None:
        """One more message that could not be used."""
        ...


class _Uncounted:
    def count(self, name: str, by: int = 1) -> None:
        """Leave out what was counted when it happened."""


@dataclass(slots=True)
class Held(Generic[StateT]):
    """The state of one key, and what it took in since it was last written: messages and times."""

    state: StateT
    since: list[Incoming | int] = field(default_factory=list)


class Steps(Generic[StateT]):
    """Steps of a fold. A bug that a message sets off costs that message, and not the job."""

    def __init__(self, fold: Fold[StateT], *, counters: DeadCounting) -> None:
        self._fold = fold
        self._counters = counters
        self.due_ms = fold.due_ms

    def held(self, stored: bytes | None) -> Held[StateT]:
        """What is stored of a key, ready to take messages in."""
        return Held(self._state(stored))

    def take(self, held: Held[StateT], message: Incoming, stored: Stored) -> Iterable[Outgoing]:
        """What leaves for a message."""
        try:
            out = list(self._fold.step(held.state, message, self._counters))
        except (DecodeError, RefusedError) as error:
            return (self._dead(message, error.reason, error.detail),)
        except Exception as error:  # noqa: BLE001
            self._put_back(held, stored(message.key or b""))
            return (self._bug(message, error),)
        held.since.append(message)
        return out

    def wake(
        self, held: Held[StateT], key: bytes, log_time_ms: int, stored: Stored
    ) -> Iterable[Outgoing]:
        """What leaves because the log has passed a time."""
        try:
            out = list(self._fold.wake(held.state, log_time_ms, self._counters))
        except Exception as error:  # noqa: BLE001
            self._put_back(held, stored(key))
            return (self._bug(self._waking(key, log_time_ms), error),)
        held.since.append(log_time_ms)
        return out

    def encoded(
        self, held: Held[StateT], key: bytes, stored: Stored
    ) -> tuple[bytes, Iterable[Outgoing]]:
        """The bytes to store, and dead letters of messages that made a state that has none."""
        try:
            return self._fold.encode(held.state), ()
        except Exception:  # noqa: BLE001
            return self._encoded_without_culprits(held, key, stored)

    def _state(self, stored: bytes | None) -> StateT:
        return self._fold.decode(stored) if stored else self._fold.empty()

    def _put_back(self, held: Held[StateT], stored: bytes | None) -> None:
        """Have the state as it was before the last message: what was stored, and all since."""
        held.state = self._state(stored)
        for one in held.since:
            self._redo(held.state, one)

    def _redo(self, state: StateT, one: Incoming | int) -> None:
        if isinstance(one, int):
            list(self._fold.wake(state, one, _Uncounted()))
        else:
            list(self._fold.step(state, one, _Uncounted()))

    def _encoded_without_culprits(
        self, held: Held[StateT], key: bytes, stored: Stored
    ) -> tuple[bytes, Iterable[Outgoing]]:
        good, dead = stored(key) or b"", []
        held.state = self._state(good)
        for one in held.since:
            self._redo(held.state, one)
            try:
                good = self._fold.encode(held.state)
            except Exception as error:  # noqa: BLE001
                message = one if isinstance(one, Incoming) else self._waking(key, one)
                dead.append(self._bug(message, error))
                held.state = self._state(good)
        return good, dead

    def _waking(self, key: bytes, log_time_ms: int) -> Incoming:
        """No message set off a bug, but the time: its dead letter names the job as its topic."""
        return Incoming(key, None, f"{self._fold.job}.wake", -1, -1, log_time_ms)

    def _bug(self, message: Incoming, error: Exception) -> Outgoing:
        return self._dead(message, "internal", f"{type(error).__name__}: {error}")

    def _dead(self, message: Incoming, reason: str, detail: str) -> Outgoing:
        self._counters.dead_letter(reason)
        return dead_letter(message, reason=reason, detail=detail, job=self._fold.job)
