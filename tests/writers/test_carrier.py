import logging

import pytest

from stores.errors import StoreUnavailable
from tests.clock import Clock
from writers.carrier import LOG_AGAIN_S, LONGEST_PAUSE_S, Outage

AWAY = StoreUnavailable("Redis", "gone")


def test_attempts_become_rarer_up_to_a_limit_and_quick_again_after_a_success() -> None:
    clock = Clock()
    outage = Outage("redis", clock)
    assert outage.allows_attempt()
    pauses = []
    for _ in range(7):
        outage.note(AWAY)
        began = clock.now
        while not outage.allows_attempt():
            clock.now += 0.01
        pauses.append(round(clock.now - began, 2))
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert pauses == pytest.approx(expected, abs=0.02)
    outage.end()
    assert (outage.reason, outage.allows_attempt()) == ("", True)
    outage.note(AWAY)
    assert not outage.allows_attempt()
    clock.now += 0.11
    assert outage.allows_attempt()


def test_an_outage_is_logged_when_it_begins_now_and_then_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    outage = Outage("redis", clock)
    for _ in range(10):
        outage.note(AWAY)
        clock.now += 1
    assert caplog.messages == ["redis: waiting, 0 s so far: Redis is not available: gone"]
    clock.now += LOG_AGAIN_S
    outage.note(AWAY)
    assert "redis: waiting, 40 s so far" in caplog.messages[1]
    outage.end()
    outage.end()
    assert caplog.messages[2:] == ["redis: back after 40.0 s"]
