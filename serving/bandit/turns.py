"""Lets only a few at a time be busy with the same thing."""

import asyncio
from dataclasses import dataclass


@dataclass(kw_only=True)
class _Turn:
    free: asyncio.Semaphore
    wanted: int = 0


class Turns:
    """Who comes later waits; what nobody is busy with takes no room."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._turns: dict[str, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    async def take(self, key: str) -> None:
        """Wait for a turn; whoever got one gives it back."""
        turn = self._turns.setdefault(key, _Turn(free=asyncio.Semaphore(self._at_once)))
        turn.wanted += 1
        try:
            await turn.free.acquire()
        except asyncio.CancelledError:
            self._leave(key, turn)
            raise

    def give_back(self, key: str) -> None:
        """End a turn."""
        turn = self._turns[key]
        turn.free.release()
        self._leave(key, turn)

    def _leave(self, key: str, turn: _Turn) -> None:
        turn.wanted -= 1
        if not turn.wanted:
            del self._turns[key]
