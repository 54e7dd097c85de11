"""A fold as small as one can be: counts words of a key, and tells when it has been quiet."""

from collections.abc import Iterable
from dataclasses import dataclass

from operators.fold import Counting, Outgoing, RefusedError
from operators.messages import Incoming

QUIET_MS = 60_000


@dataclass(slots=True)
class Words:
    seen: int = 0
    quiet_at_ms: int = 0


class WordFold:
    """`boom` fails after it changed the state; `sour` makes a state that can't be encoded."""

    job = "words"

    def __init__(self) -> None:
        self.decoded = 0

    def empty(self) -> Words:
        return Words()

    def decode(self, stored: bytes) -> Words:
        self.decoded += 1
        seen, quiet_at_ms = stored.split(b",")
        return Words(int(seen), int(quiet_at_ms))

    def encode(self, state: Words) -> bytes:
        if state.seen >= 1_000:
            raise OverflowError(f"{state.seen} words")
        return b"%d,%d" % (state.seen, state.quiet_at_ms) if state.seen else b""

    def step(self, state: Words, message: Incoming, counters: Counting) -> Iterable[Outgoing]:
        if message.value is None:
            raise RefusedError("empty", "no word")
        state.seen += 1_000 if message.value == b"sour" else 1
        state.quiet_at_ms = message.log_time_ms + QUIET_MS
        if message.value == b"boom":
            raise ZeroDivisionError("boom")
        if message.value == b"forget":
            state.seen = state.quiet_at_ms = 0
        counters.count("accepted")
        yield Outgoing("counts", message.key or b"", b"%d" % state.seen)

    def due_ms(self, state: Words) -> int | None:
        return state.quiet_at_ms or None

    def wake(self, state: Words, log_time_ms: int, counters: Counting) -> Iterable[Outgoing]:
        if state.seen == 13:
            raise ZeroDivisionError("bad luck")
        if state.quiet_at_ms <= log_time_ms:
            state.quiet_at_ms = 0
            counters.count("quiet")
            yield Outgoing("quiet", b"", None)
