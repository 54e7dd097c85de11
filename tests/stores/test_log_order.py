import time

import pytest

from schemas.topics import ITEMS, TICK_KEY, USER_EVENTS
from schemas.types import ItemEvent, UserEvent
from stores.errors import LogUnavailable
from stores.event_log import EventLog
from stores.log_order import OrderedLog

pytestmark = pytest.mark.e2e


def write(bootstrap: str, prefix: str, numbers: range) -> None:
    with EventLog(bootstrap) as log:
        for number in numbers:
            user_id = f"{prefix}{number % 9}"
            event = UserEvent(
                event_id=str(number), user_id=user_id, event_type="view", timestamp_ms=number
            )
            log.send(USER_EVENTS, user_id, event)
            item = ItemEvent(item_id=user_id, updated_at_ms=number)
            log.send(ITEMS, user_id, item)
            if number % 10 == 0:
                log.flush()


def test_all_messages_come_once_by_their_log_times(bootstrap: str) -> None:
    write(bootstrap, "ordered-", range(300))
    with OrderedLog(bootstrap, [USER_EVENTS, ITEMS]) as log:
        found = list(log)
    times = [message.position.log_time_ms for message in found]
    assert times == sorted(times)
    places = [(one.position.topic, one.position.partition, one.position.offset) for one in found]
    assert len(set(places)) == len(places) == log.total
    mine = [one for one in found if one.key and one.key.startswith(b"ordered-")]
    assert len(mine) == 600
    by_key: dict[tuple[str, bytes | None], list[int]] = {}
    for one in mine:
        by_key.setdefault((one.position.topic, one.key), []).append(one.position.offset)
    assert all(offsets == sorted(offsets) for offsets in by_key.values())


def test_what_came_later_is_left_out(bootstrap: str) -> None:
    write(bootstrap, "before-", range(20))
    with EventLog(bootstrap) as ticking:
        ticking.tick([USER_EVENTS])
    time.sleep(0.02)
    until_ms = int(time.time() * 1000)
    time.sleep(0.02)
    write(bootstrap, "after-", range(20))
    with OrderedLog(bootstrap, [USER_EVENTS], until_ms=until_ms) as log:
        found = list(log)
    keys = {(message.key or b"").partition(b"-")[0] for message in found}
    assert b"before" in keys
    assert b"after" not in keys
    ticks = [message for message in found if message.is_tick]
    assert len(ticks) == USER_EVENTS.scaled_partitions(0.04)
    assert {message.key for message in ticks} == {TICK_KEY}


def test_a_log_that_is_away_is_named() -> None:
    with pytest.raises(LogUnavailable, match=r"no answer from 127\.0\.0\.1:9"):
        OrderedLog("127.0.0.1:9", [USER_EVENTS], timeout_s=0.5)
