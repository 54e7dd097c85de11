"""Lets the log's time go on where nobody logs anything.

What jobs owe at a time, such as the reward of a showing that nobody reacted to, is due by the log's
time (decision 7), which only messages move. A tick in each partition is one.
"""

import logging
import threading

from schemas.topics import TIMED
from stores.errors import LogUnavailable
from stores.event_log import EventLog

EVERY_S = 2.0
# Longer than a tick is worth: the next one says the same.
DEADLINE_S = 5.0
# So long it may take to end: one tick's deadline, and another's to let go of the connections.
LAST_TICK_S = 2 * DEADLINE_S + 2

log = logging.getLogger(__name__)


class LogClock:
    """Ticks of one sender. Several do no harm: the broker's clock counts."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._away = False

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
        """Let time go on; say once when that fails, and once when it is well again."""
        try:
            event_log.tick(TIMED)
        except LogUnavailable as error:
            if not self._away:
                log.warning("the log's time stands still: %s", error)
            self._away = True
        else:
            if self._away:
                log.warning("the log's time goes on")
            self._away = False
