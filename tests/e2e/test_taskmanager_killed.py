"""kill -9 while events flow: the job comes back by itself, and nothing is lost or counted twice."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas.topics import ITEM_SIGNALS, USER_EVENTS
from schemas.types import ItemSignal, UserEvent
from stack.local import LocalStack
from stores.event_log import EventLog
from tests.e2e.streams import (
    assert_counts_equal_recount,
    eventually,
    job_of,
    now_ms,
    records,
    recount,
    restarts_of,
    start_jobs,
    taskmanager_of,
)

pytestmark = pytest.mark.e2e

PAUSE_S = 0.005
PREFIX = "killed-"


def test_every_count_is_exact_after_a_kill(stack: LocalStack) -> None:
    start_jobs(stack)
    since_ms, job = now_ms(), job_of(stack, "user_state").job_id
    before = restarts_of(stack, "user_state")
    with _events_flowing(stack):
        time.sleep(4)
        stack.kill(taskmanager_of(stack, "user_state"))
        eventually(lambda: restarts_of(stack, "user_state") > before, expected=True)
        eventually(lambda: job_of(stack, "user_state").is_running, expected=True, within_s=120)
        time.sleep(4)
    assert job_of(stack, "user_state").job_id == job
    assert_counts_equal_recount(stack, prefix=PREFIX, since_ms=since_ms)
    known = recount(stack, prefix=PREFIX, since_ms=since_ms)
    once = Counter({event.event_id: 1 for user in known.values() for event in user.events})
    assert len(once) > 500

    def signals() -> Counter[str]:
        found = records(stack, ITEM_SIGNALS, ItemSignal, since_ms=since_ms)
        return Counter(one.event_id for one in found if one.user_id.startswith(PREFIX))

    eventually(signals, once)
    # Nothing more comes later: a duplicate would be told with the next checkpoints.
    time.sleep(5)
    assert signals() == once


@contextmanager
def _events_flowing(stack: LocalStack) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_send, args=(stack, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _send(stack: LocalStack, stop: threading.Event) -> None:
    with EventLog(stack.settings.kafka.bootstrap) as log:
        number = 0
        while not stop.wait(PAUSE_S):
            user_id = f"{PREFIX}{number % 30}"
            event = UserEvent(
                event_id=f"{PREFIX}{number}",
                user_id=user_id,
                event_type="view",
                timestamp_ms=now_ms(),
                item_id=f"{PREFIX}item-{number % 11}",
            )
            log.send(USER_EVENTS, user_id, event)
            number += 1
