"""The log's time is moved on by ticks, and Kafka's absence is said once."""

import logging
import threading
from concurrent.futures import Future

import pytest

from freshet.log_clock import LogClock
from schemas.topics import LOG_TIME, Topic
from schemas.types import LogTick
from stores.errors import LogUnavailable
from stores.event_log import EventLog, Position


class SomeLog(EventLog):
    """A log without Kafka, which can be away."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[tuple[Topic, object]] = []

    def send(self, topic: Topic, _key: str, record: object) -> "Future[Position]":
        done: Future[Position] = Future()
        if self.away:
            done.set_exception(LogUnavailable(f"try {len(self.sent)}"))
        else:
            done.set_result(Position(topic=topic.name, partition=0, offset=0, log_time_ms=0))
        self.sent.append((topic, record))
        return done


def clock() -> LogClock:
    return LogClock("nowhere:1", now_ms=lambda: 7)


def test_a_tick_is_logged_with_the_time() -> None:
    log = SomeLog()
    clock().tick(log)
    assert log.sent == [(LOG_TIME, LogTick(timestamp_ms=7))]


def test_that_time_stands_still_is_said_once_and_so_is_its_going_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log, ticking = SomeLog(), clock()
    caplog.set_level(logging.INFO)
    for away in (False, True, True, False, False):
        log.away = away
        ticking.tick(log)
    first, second = caplog.messages
    assert first.startswith("the log's time stands still: ")
    assert second == "the log's time goes on"


def test_it_ends_when_told_to_while_kafka_is_away() -> None:
    stop = threading.Event()
    thread = clock().start(stop)
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
