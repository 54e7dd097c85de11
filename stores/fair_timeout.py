"""A time limit that a server isn't blamed by when it was this process that stood still.

After a stall (a collection of garbage, a lost core) the loop runs its timers before it reads what
has come meanwhile: every call that was under way would fail, with its answer already here, and its
connection would be thrown away.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# A timer that is so late tells of a stall.
STALLED_S = 0.01
# Time to read what has come.
GRACE_S = 0.01


@asynccontextmanager
async def fair_timeout(seconds: float | None) -> AsyncIterator[None]:
    """`asyncio.timeout`, with a moment more where the loop has stalled as it ended."""
    async with asyncio.timeout(None) as scope:
        limit = None if seconds is None else _Limit(scope, seconds)
        try:
            yield
        finally:
            if limit is not None:
                limit.timer.cancel()


class _Limit:
    """A timer that looks at its own delay."""

    def __init__(self, scope: asyncio.Timeout, seconds: float) -> None:
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + seconds
        self.timer = self._loop.call_at(self._due, self._end)

    def _end(self) -> None:
        if self._loop.time() - self._due > STALLED_S:
            self.timer = self._loop.call_later(GRACE_S, self._over)
        else:
            self._over()

    def _over(self) -> None:
        self._scope.reschedule(self._loop.time())
