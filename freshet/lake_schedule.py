"""Compacts the lake now and then, so that the rows of erased users go by themselves."""

import logging
import threading
import time
from collections.abc import Callable

from settings import Settings
from stores.lake.compaction import Compacted, Compaction
from stores.lake.errors import LakeError

# The first comes soon: whoever starts anew each day would else never reach a long interval.
FIRST_AFTER_S = 300.0

log = logging.getLogger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class LakeSchedule:
    """Compactions of one lake, every so many seconds; what goes wrong is logged and tried again."""

    def __init__(self, settings: Settings, *, now_ms: Callable[[], int] = _now_ms) -> None:
        self._lake = settings.lake_directory
        self._every_s = settings.lake.compact_every_s
        self._now_ms = now_ms

    def start(self, stop: threading.Event) -> threading.Thread | None:
        """Go on beside what this process does; None where the settings want no compaction.

        The process may end in the midst of one: the next finds the lake whole.
        """
        if not self._every_s:
            return None
        thread = threading.Thread(target=self.run, args=(stop,), name="compaction", daemon=True)
        thread.start()
        return thread

    def run(self, stop: threading.Event) -> None:
        """Compact again and again until told to stop."""
        pause_s = min(self._every_s, FIRST_AFTER_S)
        while not stop.wait(pause_s):
            self.turn()
            pause_s = self._every_s

    def turn(self) -> None:
        """Compact once, where there is a lake."""
        if not self._lake.is_dir():
            return
        try:
            done = Compaction(self._lake, self._now_ms()).run()
        except LakeError as error:
            log.warning("compaction: %s", error)
        except Exception:
            log.exception("compaction of %s failed; it is tried again", self._lake)
        else:
            log.info("compaction: %s", _told(done))


def _told(done: Compacted) -> str:
    return (
        f"{done.files_before} files of {done.hours} hours became {done.hours}, "
        f"{done.rows_erased} rows of erased users are gone, {done.files_waiting} files wait"
    )
