"""The log's time is moved on by ticks, and Kafka's absence is said once."""

import logging
import threading
from collections.abc import Iterable

import pytest

from freshet.log_clock import LogClock
from schemas.topics import TIMED, Topic
from stores.errors import LogUnavailable
from stores.event_log import EventLog


class SomeLog(EventLog):
    """A log without Kafka, which can be away."""

    def __init__(self) -> None:
        self.away = False
        self.ticked: list[Topic] = []

    def tick(self, topics: Iterable[Topic]) -> None:
        self.ticked += topics
        if self.away:
            raise LogUnavailable(f"try {len(self.ticked)}")


def test_every_topic_that_time_depends_on_is_ticked() -> None:
    log = SomeLog()
    LogClock("nowhere:1").tick(log)
    assert log.ticked == list(TIMED)


def test_that_time_stands_still_is_said_once_and_so_is_its_going_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, clock = SomeLog(), LogClock("nowhere:1")
    caplog.set_level(logging.INFO)
    for away in (False, True, True, False, False):
        log.away = away
        clock.tick(log)
    first, second = caplog.messages
    assert first.startswith("the log's time stands still: ")
    assert second == "the log's time goes on"


def test_it_ends_when_told_to_while_kafka_is_away() -> None:
    stop = threading.Event()
    thread = LogClock("nowhere:1").start(stop)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
