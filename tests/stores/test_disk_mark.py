import logging
import time
from contextlib import suppress

import pytest
import redis

from stack.local import LocalStack
from stores.disk_mark import DiskMark
from stores.errors import StoreUnavailable

pytestmark = pytest.mark.e2e


def reached(mark: DiskMark, *, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while not mark.reached() and time.monotonic() < until:
        time.sleep(0.02)
    return mark.reached()


def test_a_mark_is_reached_once_the_server_has_synced(
    redis_url: str, client: "redis.Redis"
) -> None:
    mark = DiskMark(redis_url)
    mark.open()
    assert mark.reached()
    client.config_set("appendfsync", "no")
    try:
        client.set("k", "v")
        mark.ask()
        assert not reached(mark, within_s=2)
    finally:
        client.config_set("appendfsync", "everysec")
    client.set("k", "w")
    assert reached(mark, within_s=5)
    mark.close()


def test_the_answer_to_a_mark_that_was_left_is_not_taken_for_the_next(
    redis_url: str, client: "redis.Redis"
) -> None:
    mark = DiskMark(redis_url)
    mark.open()
    client.set("k", "v")
    mark.ask()
    time.sleep(2)
    client.config_set("appendfsync", "no")
    try:
        client.set("k", "w")
        mark.ask()
        assert not reached(mark, within_s=1)
    finally:
        client.config_set("appendfsync", "everysec")
    mark.close()


def test_who_waits_for_a_mark_waits_for_the_disk_or_is_told(
    redis_url: str, client: "redis.Redis"
) -> None:
    mark = DiskMark(redis_url, timeout_s=2)
    mark.open()
    client.set("k", "v")
    mark.wait()
    assert mark.reached()
    client.config_set("appendfsync", "no")
    try:
        client.set("k", "w")
        with pytest.raises(StoreUnavailable):
            mark.wait()
    finally:
        client.config_set("appendfsync", "everysec")
    mark.close()


def test_a_server_that_was_started_again_is_noticed_even_by_who_asked_nothing(
    servers: LocalStack, redis_url: str
) -> None:
    idle, waiting = DiskMark(redis_url), DiskMark(redis_url)
    idle.open()
    waiting.open()
    waiting.ask()
    servers.take_away("valkey")
    servers.up("valkey")
    with pytest.raises(StoreUnavailable):
        idle.ask()
    with suppress(StoreUnavailable):
        # A server that ends in good order may have told before.
        reached(waiting, within_s=5)
    for mark in (idle, waiting):
        with pytest.raises(StoreUnavailable):
            mark.ask()
        mark.open()
        mark.ask()
        assert reached(mark, within_s=5)
        mark.close()


def test_a_server_without_a_log_is_taken_at_its_word(
    redis_url: str, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    mark = DiskMark(redis_url)
    mark.open()
    client.config_set("appendonly", "no")
    try:
        for _ in range(2):
            mark.ask()
            assert reached(mark, within_s=5)
    finally:
        client.config_set("appendonly", "yes")
    assert caplog.text.count("taken at its word") == 1
    mark.close()
