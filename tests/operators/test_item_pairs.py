"""What a user's visit tells of items that are met together."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.session import SESSION_GAP_MS
from operators.item_state import ItemFold
from operators.user_state import UserFold
from schemas.codec import encode
from schemas.topics import ITEM_NEIGHBORS, ITEM_PAIRS, USER_EVENTS
from schemas.types import EventType, UserEvent

NOW_MS = 1_700_000_000_000


class NoItems:
    def get(self, item_id: str) -> None:  # noqa: ARG002
        return None


@pytest.fixture
def lived(run: Callable[[Any], Any]) -> Any:
    return run(UserFold(NoItems(), max_age_ms=86_400_000, max_ahead_ms=10**9, dedup_ids=10))


def event(
    number: int, item_id: str | None, *, kind: EventType = "click", after_ms: int = 0, **more: Any
) -> UserEvent:
    return UserEvent(
        event_id=f"e{number}",
        user_id="u1",
        event_type=kind,
        timestamp_ms=NOW_MS + number * 1_000 + after_ms,
        item_id=item_id,
        **more,
    )


def pairs(lived: Any, event: UserEvent) -> list[tuple[str, tuple[str, ...]]]:
    told = lived.send(USER_EVENTS.name, encode(event), key=b"u1")
    return [(key, record.others) for topic, key, record in told if topic == ITEM_PAIRS.name]


def test_items_of_a_visit_are_told_of_each_other(lived: Any) -> None:
    assert pairs(lived, event(1, "cup")) == []
    assert pairs(lived, event(2, "saucer")) == [("saucer", ("cup",)), ("cup", ("saucer",))]
    third = pairs(lived, event(3, "lamp"))
    assert third == [("lamp", ("saucer", "cup")), ("saucer", ("lamp",)), ("cup", ("lamp",))]


def test_a_duplicate_tells_nothing_twice(lived: Any) -> None:
    pairs(lived, event(1, "cup"))
    assert pairs(lived, event(2, "saucer"))
    assert pairs(lived, event(2, "saucer")) == []


def test_another_visit_begins_alone_and_a_straggler_pairs_nothing(lived: Any) -> None:
    pairs(lived, event(1, "cup", session_id="s1"))
    later = event(2, "saucer", after_ms=SESSION_GAP_MS + 1, session_id="s2")
    assert pairs(lived, later) == []
    assert pairs(lived, event(3, "lamp", session_id="s1")) == []


def test_a_visit_after_a_long_pause_begins_alone(lived: Any) -> None:
    pairs(lived, event(1, "cup"))
    assert pairs(lived, event(2, "saucer", after_ms=SESSION_GAP_MS + 1)) == []


def test_who_does_not_consent_brings_no_items_together(lived: Any) -> None:
    pairs(lived, event(1, "cup"))
    assert pairs(lived, event(2, "saucer", consent=False)) == []
    assert pairs(lived, event(3, "lamp")) == []
    assert pairs(lived, event(4, "bowl", consent=True)) == []
    assert len(pairs(lived, event(5, "cup"))) == 2


def test_a_visit_becomes_neighbours(lived: Any, run: Callable[[Any], Any]) -> None:
    items = run(ItemFold(max_ahead_ms=1_000, half_life_ms=3_600_000))
    found: dict[str, tuple[str, ...]] = {}
    for number, item_id in enumerate(("cup", "saucer", "lamp")):
        sent = lived.send(USER_EVENTS.name, encode(event(number, item_id)), key=b"u1")
        for topic, key, record in sent:
            if topic == ITEM_PAIRS.name:
                items.send(ITEM_PAIRS.name, encode(record), key=key.encode())
    for topic, key, record in items.pass_time(NOW_MS + 60_000):
        assert topic == ITEM_NEIGHBORS.name
        found[key] = record.neighbors
    assert found["cup"] == ("saucer", "lamp")
