"""Takes messages into the state of a key, whatever they are and whatever they set off."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol

from operators.dead_letters import dead_letter
from operators.fold import Counting, Fold, Outgoing, RefusedError, StateT
from operators.messages import Incoming
from schemas.codec import DecodeError


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
    """The state of one key, the bytes that are stored of it, and what it took in since then."""

    state: StateT
    stored: bytes
    since: list[Incoming | int] = field(default_factory=list)


class Steps(Generic[StateT]):
    """Steps of a fold. A bug that a message sets off costs that message, and not the job."""

    def __init__(self, fold: Fold[StateT], *, counters: DeadCounting) -> None:
        self._fold = fold
        self._counters = counters

    def held(self, stored: bytes | None) -> Held[StateT]:
        """What is stored of a key, ready to take messages in."""
        return Held(self._state(stored), stored or b"")

    def take(self, held: Held[StateT], message: Incoming) -> Iterable[Outgoing]:
        """What leaves for a message."""
        try:
            out = list(self._fold.step(held.state, message, self._counters))
        except (DecodeError, RefusedError) as error:
            return (self._dead(message, error.reason, error.detail),)
        except Exception as error:  # noqa: BLE001
            self._put_back(held)
            return (self._dead(message, "internal", f"{type(error).__name__}: {error}"),)
        held.since.append(message)
        return out

    def wake(self, held: Held[StateT], key: bytes, log_time_ms: int) -> Iterable[Outgoing]:
        """What leaves because the log has passed a time."""
        try:
            out = list(self._fold.wake(held.state, log_time_ms, self._counters))
        except Exception as error:  # noqa: BLE001
            self._put_back(held)
            waking = Incoming(key, None, f"{self._fold.job}.wake", -1, -1, log_time_ms)
            return (self._dead(waking, "internal", f"{type(error).__name__}: {error}"),)
        held.since.append(log_time_ms)
        return out

    def _state(self, stored: bytes | None) -> StateT:
        return self._fold.decode(stored) if stored else self._fold.empty()

    def _put_back(self, held: Held[StateT]) -> None:
        """Have the state as it was before the last message: what was stored, and all since."""
        state, uncounted = self._state(held.stored), _Uncounted()
        for one in held.since:
            if isinstance(one, int):
                list(self._fold.wake(state, one, uncounted))
            else:
                list(self._fold.step(state, one, uncounted))
        held.state = state

    def _dead(self, message: Incoming, reason: str, detail: str) -> Outgoing:
        self._counters.dead_letter(reason)
        return dead_letter(message, reason=reason, detail=detail, job=self._fold.job)
