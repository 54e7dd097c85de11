"""Puts what is asked at the same time into one round trip.

Under load most of what a small question to a server costs is its round trip: the writing, the
waking, the reading. While two are under way what is asked next waits, and goes together. Whoever
asks alone waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

Command = tuple[Any, ...]
# Answers each command, in their order; what failed by itself stands there as an exception.
Asked = Callable[[Sequence[Command]], Awaitable[Sequence[Any]]]

# Longer ones would hold up whoever is in the next.
MOST = 256
# Beside one that a slow server holds up another goes.
AT_ONCE = 2


class RoundTrips:
    """Gathers the commands of many callers, each of whom gets the answers to their own."""

    def __init__(self, ask: Asked) -> None:
        self._ask = ask
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[Sequence[Any]]]] = []
        self._going = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def answers(self, commands: Sequence[Command]) -> Sequence[Any]:
        """What the server says to these commands, or the first error among it."""
        answered: asyncio.Future[Sequence[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, answered))
        if self._going < AT_ONCE:
            self._going += 1
            # In nobody's context: the time that one of the callers has left isn't the others'.
            task = asyncio.create_task(self._go(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        found = await answered
        for one in found:
            if isinstance(one, Exception):
                raise one
        return found

    async def _go(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                # Who gave up meanwhile needs no answer.
                await self._take([one for one in batch if not one[1].done()])
        finally:
            # At once: whoever asks next must not wait for one that has ended.
            self._going -= 1

    async def _take(
        self, batch: Sequence[tuple[Sequence[Command], asyncio.Future[Sequence[Any]]]]
    ) -> None:
        try:
            found = await self._ask([command for commands, _ in batch for command in commands])
        except Exception as error:  # noqa: BLE001 (each caller gets it)
            for _, answered in batch:
                if not answered.done():
                    answered.set_exception(error)
            return
        at = 0
        for commands, answered in batch:
            if not answered.done():
                answered.set_result(found[at : at + len(commands)])
            at += len(commands)
