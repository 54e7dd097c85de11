import threading
import time
from collections.abc import Callable

import pytest
import redis

from stack.local import LocalStack
from stores.item_vectors import ItemVectors, StoredItem
from stores.online import OnlineWriter
from tests.clock import Clock
from tests.stores.records import deleted_item, item_event, item_snapshot, unit

pytestmark = pytest.mark.e2e


def reads(client: "redis.Redis") -> int:
    stats = client.info("commandstats")
    assert isinstance(stats, dict)
    return int(stats.get("cmdstat_hmget", {}).get("calls", 0))


def vector_of(vectors: ItemVectors) -> bytes:
    """The bytes of item i's vector, none where it has none."""
    found = vectors.get("i")
    return b"" if found is None or found.vector is None else found.vector.tobytes()


def test_a_vector_is_read_once_until_its_lifetime_is_over(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    clock = Clock()
    writer.write_items([item_snapshot("i", 1)])
    vectors = ItemVectors(redis_url, lifetime_s=60, clock=clock)
    client.config_resetstat()
    for _ in range(3):
        found = vectors.get("i")
        assert found is not None
        assert vector_of(vectors) == unit(1).tobytes()
    assert reads(client) == 1
    writer.write_items([item_snapshot("i", 2)])
    client.config_resetstat()
    clock.now = 59.9
    assert vector_of(vectors) == unit(1).tobytes()
    clock.now = 60.0
    assert vector_of(vectors) == unit(2).tobytes()
    assert reads(client) == 1
    vectors.close()


def test_a_missing_vector_is_asked_for_again_after_a_second(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    clock = Clock()
    vectors = ItemVectors(redis_url, clock=clock)
    assert vectors.get("new") is None
    writer.write_items([item_snapshot("new", 1)])
    clock.now = 0.9
    assert vectors.get("new") is None
    clock.now = 1.0
    assert vectors.get("new") is not None
    writer.write_items([deleted_item("new", 2)])
    clock.now = 61.0
    assert vectors.get("new") is None
    vectors.close()


@pytest.mark.parametrize(
    ("catalog", "expected"),
    [
        ({"category_id": "mugs", "price": 4.5}, ("mugs", 4.5)),
        ({"categories": ("home", "mugs")}, ("home", None)),
        ({}, (None, None)),
    ],
)
def test_category_and_price_come_with_the_vector(
    redis_url: str, writer: OnlineWriter, catalog: dict[str, object], expected: tuple[object, ...]
) -> None:
    writer.write_items([item_snapshot("i", 1, catalog=item_event("i", **catalog))])
    vectors = ItemVectors(redis_url)
    found = vectors.get("i")
    assert found is not None
    assert (found.category, found.price) == expected
    assert vector_of(vectors) == unit(1).tobytes()
    vectors.close()


def test_an_item_without_a_vector_still_has_its_category(
    redis_url: str, writer: OnlineWriter
) -> None:
    catalog = item_event("i", category_id="mugs")
    writer.write_items([item_snapshot("i", 1, catalog=catalog, vector=None)])
    vectors = ItemVectors(redis_url)
    found = vectors.get("i")
    assert found is not None
    assert (found.vector, found.category) == (None, "mugs")
    vectors.close()


def test_the_cache_keeps_the_most_recently_used(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    writer.write_items([item_snapshot(name, 1) for name in ("a", "b", "c")])
    vectors = ItemVectors(redis_url, size=2)
    for name in ("a", "b", "a", "c"):
        vectors.get(name)
    client.config_resetstat()
    vectors.get("a")
    vectors.get("c")
    assert reads(client) == 0
    vectors.get("b")
    assert reads(client) == 1
    vectors.close()


def test_items_in_use_that_are_nearly_due_are_read_together(
    redis_url: str, client: "redis.Redis", writer: OnlineWriter
) -> None:
    clock = Clock()
    writer.write_items([item_snapshot(name, 1) for name in ("a", "i", "idle", "late")])
    vectors = ItemVectors(redis_url, lifetime_s=60, clock=clock)
    for name in ("a", "i", "idle"):
        vectors.get(name)
    clock.now = 30
    vectors.get("late")
    writer.write_items([item_snapshot("i", 2)])
    clock.now = 60
    client.config_resetstat()
    vectors.get("a")
    assert reads(client) == 3
    assert vector_of(vectors) == unit(2).tobytes()
    assert reads(client) == 3
    clock.now = 120
    vectors.get("a")
    # Nobody has asked for the idle one since it was read.
    assert reads(client) == 3 + 3
    vectors.close()


def test_it_waits_for_the_server_longer_each_time_up_to_a_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pauses: list[float] = []

    class EnoughError(Exception): ...

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise EnoughError

    vectors = ItemVectors("redis://127.0.0.1:9/0", sleep=sleep)
    with pytest.raises(EnoughError):
        vectors.get("i")
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert "waiting for item i: Redis is not available" in caplog.text


def test_it_answers_when_the_server_is_back(
    servers: LocalStack, redis_url: str, writer: OnlineWriter
) -> None:
    writer.write_items([item_snapshot("i", 1)])
    vectors = ItemVectors(redis_url, lifetime_s=0)
    assert vectors.get("i") is not None
    time.sleep(1.5)  # the server's log is on disk within a second
    servers.take_away("valkey")
    answers: list[StoredItem | None] = []
    asking = in_background(lambda: answers.append(vectors.get("i")))
    time.sleep(0.3)
    assert answers == []
    servers.up("valkey")
    asking.join(5)
    assert answers[0] is not None
    assert answers[0].vector is not None
    assert answers[0].vector.tobytes() == unit(1).tobytes()
    vectors.close()


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
