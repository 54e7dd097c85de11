"""A steady load of visits: a list is shown to a user, who reacts to some of it."""

import random
import threading
import time
from concurrent.futures import Future

from schemas.topics import PERSONALIZATION_RESULTS, USER_EVENTS, Topic
from schemas.types import EventType, Impression, Record, ShownItem, UserEvent
from stores.event_log import EventLog
from stores.log_producer import Position

ITEMS = 200
SHOWN = 8
REACTIONS: tuple[EventType, ...] = ("view", "click", "add_to_cart", "purchase", "dismiss")
SHARES = (70, 18, 5, 3, 4)
DEVICES = ("mobile", "desktop")
SERVERS_AWAY_S = 90


class Load:
    """Answers shown and reactions to them, at a steady rate, in a thread of its own."""

    def __init__(self, bootstrap: str, *, rate: float, users: int, seed: int) -> None:
        self._log = EventLog(bootstrap, deadline_s=SERVERS_AWAY_S)
        self._rate = rate
        self._users = users
        self._run = seed
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._taken = 0
        self._failed = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> int:
        """End; answers how many messages the log has taken for sure."""
        self._stop.set()
        self._thread.join()
        self._log.close()
        return self._taken

    def _work(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stop.wait(0.01):
            due = (time.monotonic() - began) * self._rate
            while number < due:
                number += self._visit(number)

    def _visit(self, number: int) -> int:
        """Show a list to a user, who reacts to some of it; answers how many events that were."""
        user_id = f"user-{self._rng.randrange(self._users)}"
        request_id = f"request-{self._run}-{number}"
        device = self._rng.choice(DEVICES)
        shown = self._rng.sample(range(ITEMS), SHOWN)
        impression = Impression(
            request_id=request_id,
            user_id=user_id,
            timestamp_ms=_now_ms(),
            context_segment=f"{device}_de_day",
            context_features=(1.0,) + (0.0,) * 63,
            items=tuple(
                ShownItem(item_id=f"item-{item}", rank=rank, score=0.5, source="content")
                for rank, item in enumerate(shown, start=1)
            ),
        )
        self._send(PERSONALIZATION_RESULTS, user_id, impression)
        count = self._rng.randint(1, 4)
        for nth in range(count):
            kind = self._rng.choices(REACTIONS, SHARES)[0]
            event = UserEvent(
                event_id=f"event-{self._run}-{number}-{nth}",
                user_id=user_id,
                event_type=kind,
                timestamp_ms=_now_ms(),
                item_id=f"item-{self._rng.choice(shown)}",
                request_id=request_id,
                session_id=f"session-{user_id}",
                device_type=device,
                country="DE",
            )
            self._send(USER_EVENTS, user_id, event)
        return count

    def _send(self, topic: Topic, key: str, record: Record) -> None:
        self._log.send(topic, key, record).add_done_callback(self._count)

    def _count(self, done: "Future[Position]") -> None:
        if done.exception() is None:
            self._taken += 1
        else:
            self._failed += 1


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
