"""Answers and reactions in; rewards, and what they teach, out, on the real cluster."""

import pytest

from schemas.topics import (
    BANDIT_POSTERIORS,
    BANDIT_UPDATES,
    PERSONALIZATION_RESULTS,
    USER_EVENTS,
)
from schemas.types import BanditPosterior, BanditUpdate, EventType, Impression, ShownItem, UserEvent
from stack.local import LocalStack
from stores.event_log import EventLog
from tests.e2e.streams import eventually, now_ms, records, start_jobs

pytestmark = pytest.mark.e2e

USER = "rewarded"
PENDING = 8
Said = dict[str, tuple[float, float, int]]


def answer(number: int, *items: str) -> Impression:
    return Impression(
        request_id=f"rewarded-{number}",
        user_id=USER,
        timestamp_ms=now_ms(),
        context_segment="mobile_us_evening",
        context_features=(0.5,) * 64,
        items=tuple(
            ShownItem(item_id=item, rank=rank, score=0.5, source="content")
            for rank, item in enumerate(items, start=1)
        ),
    )


def reaction(number: int, kind: EventType, item_id: str, request_id: str | None) -> UserEvent:
    return UserEvent(
        event_id=f"rewarded-{number}",
        user_id=USER,
        event_type=kind,
        timestamp_ms=now_ms(),
        item_id=item_id,
        request_id=request_id,
    )


def test_what_is_shown_and_reacted_to_moves_the_posteriors(stack: LocalStack) -> None:
    """A reaction before its answer, a correction, one without a request, and none at all."""
    start_jobs(stack)
    since_ms = now_ms()
    with EventLog(stack.settings.kafka.bootstrap) as log:
        early = reaction(1, "click", "rewarded:a", "rewarded-0")
        log.send(USER_EVENTS, USER, early).result()
        first = answer(0, "rewarded:a", "rewarded:b", "rewarded:c")
        for _ in range(2):
            log.send(PERSONALIZATION_RESULTS, USER, first).result()
        for event in (
            early,
            reaction(2, "purchase", "rewarded:a", "rewarded-0"),
            reaction(3, "like", "rewarded:b", None),
        ):
            log.send(USER_EVENTS, USER, event).result()
        for number in range(1, PENDING + 1):
            log.send(PERSONALIZATION_RESULTS, USER, answer(number, "rewarded:z")).result()

    def learned() -> Said:
        found: Said = {}
        for one in records(stack, BANDIT_POSTERIORS, BanditPosterior, since_ms=since_ms):
            if one.item_id.startswith("rewarded:"):
                known = (round(one.alpha, 3), round(one.beta, 3), one.total_impressions)
                found[one.item_id] = known
        return found

    expected = {
        "rewarded:a": (2.0, 1.0, 1),
        "rewarded:b": (1.5, 1.5, 1),
        "rewarded:c": (1.0, 2.0, 1),
    }
    eventually(learned, expected, within_s=90)
    told = [
        (one.item_id, round(one.reward, 3), one.previous_reward and round(one.previous_reward, 3))
        for one in records(stack, BANDIT_UPDATES, BanditUpdate, since_ms=since_ms)
        if one.item_id.startswith("rewarded:")
    ]
    assert sorted(told, key=str) == [
        ("rewarded:a", 0.3, None),
        ("rewarded:a", 1.0, 0.3),
        ("rewarded:b", 0.5, None),
        ("rewarded:c", 0.0, None),
    ]
