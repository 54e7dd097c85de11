"""From an answer and what came of it to the posteriors: two folds, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any

import pytest

from domain.bandit import BanditRules
from operators.bandit_posteriors import PosteriorFold
from operators.user_state import UserFold
from schemas.codec import encode
from schemas.topics import (
    BANDIT_POSTERIORS,
    BANDIT_UPDATES,
    PERSONALIZATION_RESULTS,
    USER_EVENTS,
    Topic,
)
from schemas.types import Impression, Record, ShownItem, UserEvent

NOW_MS = 1_700_000_000_000
WINDOW_MS = 1_800_000

ANSWER = Impression(
    request_id="r1",
    user_id="u1",
    timestamp_ms=NOW_MS,
    context_segment="mobile_us_evening",
    context_features=(0.5,) * 64,
    items=tuple(
        ShownItem(item_id=item, rank=rank, score=0.5, source="content")
        for rank, item in enumerate(("sku:1", "sku:2", "sku:3"), start=1)
    ),
)
CLICK = UserEvent(
    event_id="e1",
    user_id="u1",
    event_type="click",
    timestamp_ms=NOW_MS,
    item_id="sku:1",
    request_id="r1",
)
BUY = UserEvent(
    event_id="e2",
    user_id="u1",
    event_type="purchase",
    timestamp_ms=NOW_MS,
    item_id="sku:1",
    request_id="r1",
)
LIKE = UserEvent(
    event_id="e3", user_id="u1", event_type="like", timestamp_ms=NOW_MS, item_id="sku:2"
)
Message = tuple[Topic, Record]
READ: tuple[Message, ...] = (
    (PERSONALIZATION_RESULTS, ANSWER),
    (USER_EVENTS, CLICK),
    (USER_EVENTS, BUY),
    (USER_EVENTS, LIKE),
)


class NoItems:
    def get(self, _item_id: str) -> None:
        return None


def users() -> UserFold:
    return UserFold(NoItems(), max_age_ms=86_400_000, max_ahead_ms=1_000, dedup_ids=10)


def orders() -> Iterator[Sequence[Message]]:
    """Every order in which the two topics can be read."""
    for order in permutations(READ):
        events = [one for one in order if one[0] is USER_EVENTS]
        if events == list(READ[1:]):
            yield order


@pytest.mark.parametrize("order", list(orders()))
def test_the_posteriors_are_the_same_in_whatever_order_two_topics_are_read(
    run: Callable[[Any], Any], order: Sequence[Message]
) -> None:
    user, posterior = run(users()), run(PosteriorFold(rules=BanditRules(), max_ahead_ms=1_000))
    told = [
        one for topic, record in order for one in user.send(topic.name, encode(record), key=b"u1")
    ]
    told += user.pass_time(NOW_MS + WINDOW_MS)
    updates = [(key, record) for topic, key, record in told if topic == BANDIT_UPDATES.name]
    published = [
        one
        for key, record in updates
        for one in posterior.send(BANDIT_UPDATES.name, encode(record), key=key.encode())
    ]
    assert {topic for topic, _, _ in published} == {BANDIT_POSTERIORS.name}
    last = {record.item_id: record for _, _, record in published}
    found = {item: (one.alpha, one.beta, one.total_impressions) for item, one in last.items()}
    assert found == {
        "sku:1": (pytest.approx(2.0), pytest.approx(1.0), 1),
        "sku:2": (pytest.approx(1.5), pytest.approx(1.5), 1),
        "sku:3": (1.0, 2.0, 1),
    }
