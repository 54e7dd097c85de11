"""Lets the log's time go on where nobody logs anything.

What jobs owe at a time, such as the reward of a showing that nobody reacted to, is due by the log's
time (decision 7), which only messages move. A tick a second is one.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable

from schemas.topics import LOG_TIME
from schemas.types import LogTick
from stores.errors import LogUnavailable
from stores.event_log import EventLog

EVERY_S = 1.0
# Longer than a tick is worth: the next one says the same.
DEADLINE_S = 5.0

log = logging.getLogger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class LogClock:
    """Ticks of one sender. Several do no harm: the broker's clock counts."""

    def __init__(self, bootstrap: str, *, now_ms: Callable[[], int] = _now_ms) -> None:
        self._bootstrap = bootstrap
        self._now_ms = now_ms
        self._sender = socket.gethostname()
        self._told = ""

    def start(self, stop: threading.Event) -> threading.Thread:
        """Go on beside what this process does, whether Kafka is there or not."""
        thread = threading.Thread(target=self.run, args=(stop,), name="log clock", daemon=True)
        thread.start()
        return thread

    def run(self, stop: threading.Event) -> None:
        """Tick until told to stop."""
        with EventLog(self._bootstrap, deadline_s=DEADLINE_S) as event_log:
            while not stop.wait(EVERY_S):
                self.tick(event_log)

    def tick(self, event_log: EventLog) -> None:
        """Log one, and say once when that fails, and once when it is well again."""
        try:
            event_log.send(LOG_TIME, self._sender, LogTick(timestamp_ms=self._now_ms())).result()
        except LogUnavailable as error:
            self._tell(f"the log's time stands still: {error}")
        else:
            self._tell("")

    def _tell(self, trouble: str) -> None:
        # Errors differ in their wording from one try to the next; that there is one counts.
        if bool(trouble) != bool(self._told):
            log.warning("%s", trouble or "the log's time goes on")
        self._told = trouble
