"""Events in, and what the job tells of users and items out, on the real cluster."""

import random

import numpy as np
import pytest

from schemas.redis_keys import ITEM
from schemas.topics import (
    EMBEDDING_UPDATES,
    ITEM_POPULARITY,
    ITEM_SIGNALS,
    ITEM_SNAPSHOTS,
    ITEMS,
    USER_EVENTS,
)
from schemas.types import (
    EmbeddingUpdate,
    EventType,
    ItemEvent,
    ItemPopularity,
    ItemSignal,
    ItemSnapshot,
    UserEvent,
)
from stack.local import LocalStack
from stores.event_log import EventLog
from stores.redis_server import connect
from tests.e2e.streams import (
    assert_counts_equal_recount,
    eventually,
    job_of,
    now_ms,
    records,
    recount,
    start_jobs,
)

pytestmark = pytest.mark.e2e

KINDS: tuple[EventType, ...] = ("view", "click", "add_to_cart", "purchase", "search")


def test_counts_are_those_of_a_recount_of_the_log(stack: LocalStack) -> None:
    """Among them events out of order, from yesterday, and sent twice."""
    start_jobs(stack)
    rng, since_ms = random.Random(1), now_ms()
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number in range(2_000):
            user_id = f"recount-{rng.randrange(40)}"
            age_ms = rng.choice((0, 1_000, 60_000, 1_800_000, 30_000_000, 90_000_000))
            event = UserEvent(
                event_id=f"recount-{number}",
                user_id=user_id,
                event_type=rng.choice(KINDS),
                timestamp_ms=since_ms - rng.randrange(age_ms + 1),
            )
            for _ in range(1 + (number % 10 == 0)):
                log.send(USER_EVENTS, user_id, event)
    users = recount(stack, prefix="recount-", since_ms=since_ms)
    assert sum(len(user.events) for user in users.values()) == 2_000
    assert_counts_equal_recount(stack, prefix="recount-", since_ms=since_ms)


def test_a_user_moves_towards_what_was_bought(stack: LocalStack) -> None:
    start_jobs(stack)
    since_ms = now_ms()
    vectors = np.eye(2, 512, dtype="<f4")
    with connect(stack.settings.redis.url, timeout_s=5) as client:
        for number, vector in enumerate(vectors):
            client.hset(ITEM.of(f"moves-i{number}"), "vector", vector.tobytes())
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number, (kind, item) in enumerate((("view", 0), ("purchase", 1), ("purchase", 1))):
            event = UserEvent(
                event_id=f"moves-{number}",
                user_id="moves-u1",
                event_type="view" if kind == "view" else "purchase",
                timestamp_ms=since_ms,
                item_id=f"moves-i{item}",
            )
            log.send(USER_EVENTS, event.user_id, event)

    def updates() -> list[EmbeddingUpdate]:
        found = records(stack, EMBEDDING_UPDATES, EmbeddingUpdate, since_ms=since_ms)
        return [one for one in found if one.user_id == "moves-u1"]

    eventually(lambda: [one.embedding.version for one in updates()], [1, 2, 3])
    learned = [np.frombuffer(one.embedding.vector, "<f4") for one in updates()]
    assert learned[0] == pytest.approx(vectors[0])
    towards = [float(vector @ vectors[1]) for vector in learned]
    assert towards[0] < towards[1] < towards[2]


def test_an_item_becomes_known_and_popular(stack: LocalStack) -> None:
    start_jobs(stack)
    since_ms = now_ms()
    text = np.random.default_rng(3).standard_normal(512).astype("<f4")
    item = ItemEvent(
        item_id="popular-i1", updated_at_ms=since_ms, title="Lamp", text_embedding=text.tobytes()
    )
    with EventLog(stack.settings.kafka.bootstrap) as log:
        log.send(ITEMS, item.item_id, item)
        for number in range(5):
            event = UserEvent(
                event_id=f"popular-{number}",
                user_id=f"popular-u{number}",
                event_type="purchase",
                timestamp_ms=since_ms,
                item_id=item.item_id,
            )
            log.send(USER_EVENTS, event.user_id, event)

    def moved() -> list[ItemPopularity]:
        found = records(stack, ITEM_POPULARITY, ItemPopularity, since_ms=since_ms)
        return [one for one in found if one.item_id == item.item_id]

    eventually(lambda: sorted({one.version for one in moved()}), [1, 2, 3, 4, 5])
    last = max(moved(), key=lambda one: one.version)
    assert last.total_events == 5
    assert last.popularity == pytest.approx(5.0, rel=1e-3)

    def snapshots() -> list[ItemSnapshot]:
        found = records(stack, ITEM_SNAPSHOTS, ItemSnapshot, since_ms=since_ms)
        return [one for one in found if one.item_id == item.item_id]

    eventually(lambda: [one.version for one in snapshots()], [1])
    (snapshot,) = snapshots()
    assert snapshot.catalog is not None
    assert (snapshot.catalog.title, len(snapshot.unified or b"")) == ("Lamp", 4_096)
    signals = records(stack, ITEM_SIGNALS, ItemSignal, since_ms=since_ms)
    assert len([one for one in signals if one.item_id == item.item_id]) == 5


def test_a_job_goes_on_where_it_was_canceled(stack: LocalStack) -> None:
    start_jobs(stack)
    since_ms, before = now_ms(), job_of(stack, "user_state").job_id

    def send(numbers: range) -> None:
        with EventLog(stack.settings.kafka.bootstrap) as log:
            for number in numbers:
                event = UserEvent(
                    event_id=f"resumed-{number}",
                    user_id=f"resumed-{number % 7}",
                    event_type="view",
                    timestamp_ms=since_ms,
                )
                log.send(USER_EVENTS, event.user_id, event)

    send(range(100))
    assert_counts_equal_recount(stack, prefix="resumed-", since_ms=since_ms)
    again = stack.freshet("job", "submit", "user_state").stdout
    assert f"user_state: was running already, id {before}" in again
    assert f"canceled, id {before}" in stack.freshet("job", "cancel", "user_state").stdout
    send(range(100, 150))
    submitted = stack.freshet("job", "submit", "user_state").stdout
    assert "submitting, from file:" in submitted
    assert job_of(stack, "user_state").job_id != before
    assert_counts_equal_recount(stack, prefix="resumed-", since_ms=since_ms)
