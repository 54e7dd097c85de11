"""What the lake keeps, and in which hour."""

import pytest

from domain.events import DAY_MS, EventLimits
from operators.counting import Tally
from operators.fold import RefusedError
from operators.interaction_lake import LakeSorter
from operators.messages import Incoming
from schemas.codec import DecodeError, encode
from schemas.lake import EVENTS, IMPRESSIONS, REWARDS
from tests.stores.lake.lakes import HOUR, event, impression, message, reward

SORTER = LakeSorter(EventLimits())


def test_a_row_has_the_record_the_message_and_its_place() -> None:
    one = event("e1", "u1", at_ms=HOUR - 1)
    row = SORTER.row(message(EVENTS, one, 7, partition=3, log_time_ms=HOUR))
    assert (row.partition, row.offset, row.log_time_ms) == (3, 7, HOUR)
    assert (row.record, row.payload) == (one.to_record(), encode(one))
    assert row.directory == "events/day=2026-09-21/hour=13"


@pytest.mark.parametrize("at_ms", [HOUR - 401 * DAY_MS, HOUR + 300_001])
def test_an_event_of_an_impossible_time_is_refused(at_ms: int) -> None:
    with pytest.raises(RefusedError, match=r"too_old|in_future"):
        SORTER.row(message(EVENTS, event("e1", "u1", at_ms=at_ms), 0))


@pytest.mark.parametrize("at_ms", [0, HOUR - 401 * DAY_MS, HOUR + 300_001, 2**60])
def test_an_answer_of_an_impossible_time_is_filed_by_the_logs(at_ms: int) -> None:
    row = SORTER.row(message(IMPRESSIONS, impression("r1", "u1", at_ms=at_ms), 0))
    assert row.directory == "impressions/day=2026-09-21/hour=14"


@pytest.mark.parametrize("key", [None, b"", b"i1", b"\xff"])
def test_a_message_under_a_wrong_key_is_refused(key: bytes | None) -> None:
    wrong = message(REWARDS, reward("b1", "u1"), 0)._replace(key=key)
    with pytest.raises(RefusedError, match=r"wrong_key: .* must be the item_id:context_segment"):
        SORTER.row(wrong)


@pytest.mark.parametrize("value", [None, b"", b"no event", encode(impression("r1", "u1"))])
def test_what_is_no_record_of_its_topic_is_refused(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        SORTER.row(message(EVENTS, event("e1", "u1"), 0)._replace(value=value))


def test_what_is_left_out_is_counted_by_its_reason() -> None:
    good = message(EVENTS, event("e1", "u1"), 0)
    bad: list[Incoming] = [good._replace(value=b""), good._replace(key=b"u2"), good]
    tally = Tally()
    assert [row.offset for row in SORTER.rows([*bad, good], tally)] == [0, 0]
    assert tally.counters == {"kept": 2, "dead_letters.empty": 1, "dead_letters.wrong_key": 1}
