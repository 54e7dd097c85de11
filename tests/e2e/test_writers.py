"""The writers as a process of their own, between a real Kafka and real stores."""

import asyncio
import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

import numpy as np
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from schemas.codec import encode
from schemas.topics import (
    DEAD_LETTERS,
    EMBEDDING_UPDATES,
    ITEM_POPULARITY,
    ITEM_SNAPSHOTS,
    USER_SNAPSHOTS,
)
from schemas.types import DeadLetter, EmbeddingUpdate, ItemPopularity, ItemSnapshot, UserSnapshot
from stack.layout import Layout
from stack.lifecycle import State
from stack.local import LocalStack
from stores.errors import StoreUnavailable
from stores.event_log import EventLog, read
from stores.online import OnlineReader
from stores.redis_server import connect
from stores.vectors import VectorReader
from stores.views import ItemView, UserView
from tests.stores.records import (
    deleted_item,
    embedding_update,
    item_event,
    item_popularity,
    item_snapshot,
    unit,
    user_snapshot,
)

pytestmark = pytest.mark.e2e

WIDE = 1024


@pytest.fixture
def writers(stack: LocalStack) -> Iterator[LocalStack]:
    """The stack with the writers running."""
    stack.up("kafka", "valkey", "milvus", "writers")
    wait_until(lambda: healthz(stack)[0] == 200, limit_s=30)
    yield stack
    stack.up("kafka", "valkey", "milvus")
    stack.down("writers")


@pytest.fixture
def log(stack: LocalStack) -> Iterator[EventLog]:
    with EventLog(stack.settings.kafka.bootstrap, deadline_s=30) as log:
        yield log


@pytest.fixture
def name() -> str:
    """A prefix of this test's users and items."""
    return uuid4().hex[:8]


def test_what_the_jobs_emit_is_in_both_stores(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    users = [user_snapshot(f"{name}-u{n % 20}", 1 + n // 20) for n in range(200)]
    updates = [embedding_update(f"{name}-u{n % 20}", 1 + n // 20) for n in range(200)]
    items = [item_snapshot(f"{name}-i{n}", n + 1) for n in range(5)]
    moved = [item_popularity(f"{name}-i{n % 5}", 1 + n // 5) for n in range(50)]
    emit(log, [*users, *updates, *moved, *items, deleted_item(f"{name}-i0", 2)])
    wait_until_users_are(writers, users, updates)
    wait_until(lambda: stored_items(writers, name) == {f"{name}-i{n}": 10 for n in range(1, 5)})
    wait_until(lambda: found_in_milvus(writers, 2) == f"{name}-i1")
    wait_until(lambda: found_in_milvus(writers, 1) != f"{name}-i0")


def test_every_snapshot_reaches_redis_under_load(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    """At 100 events a second, each with its vector and its item's popularity.

    What it took is printed, not asserted; docs/decisions/0005-writers.md has the figures.
    """
    with load(log, name, rate=100):
        time.sleep(1)
        asyncio.run(_measure(writers, log, name))


async def _measure(writers: LocalStack, log: EventLog, name: str) -> None:
    seconds = []
    async with OnlineReader(writers.settings.redis.url, timeout_ms=5_000) as reader:
        for version in range(1, 201):
            began = time.perf_counter()
            log.send(USER_SNAPSHOTS, f"{name}-probe", user_snapshot(f"{name}-probe", version))
            async with asyncio.timeout(30):
                while (await reader.user(f"{name}-probe")).version < version:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            seconds.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)
    p50, p99 = np.percentile(seconds, [50, 99])
    print(f"emitted to readable in Redis: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
    assert len(seconds) == 200


def test_messages_that_cannot_be_used_are_dead_letters_and_stop_nothing(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    from_ms = int(time.time() * 1000)
    key = f"{name}-u".encode()
    good = encode(user_snapshot(f"{name}-u", 1))
    broken = {
        "empty": b"",
        "not_avro": b"hello",
        "corrupt": good[:-3],
        "unknown_schema": good[:2] + b"\0" * 8 + good[10:],
        "wrong_schema": encode(embedding_update(f"{name}-u", 1)),
        "bad_id": encode(user_snapshot("", 1)),
    }
    for payload in broken.values():
        log.send_raw(USER_SNAPSHOTS, key, payload)
    bad_vector = embedding_update(f"{name}-u", 1, unit(1, dim=8))
    nan_vector = embedding_update(f"{name}-u", 1, np.full(512, np.nan, "<f4"))
    bad_price = item_snapshot(f"{name}-i", 1, catalog=item_event(f"{name}-i", price=float("inf")))
    redis.Redis.from_url(writers.settings.redis.url).rpush(f"context:{name}-list", "no context")
    refused = user_snapshot(f"{name}-list", 1)
    emit(log, [bad_vector, nan_vector, bad_price, refused])
    users, updates = [user_snapshot(f"{name}-u", 2)], [embedding_update(f"{name}-u", 2)]
    emit(log, [*users, *updates])
    wait_until_users_are(writers, users, updates)
    letters: list[DeadLetter] = []

    def all_are_buried() -> bool:
        found = read(writers.settings.kafka.bootstrap, [DEAD_LETTERS], from_ms=from_ms)
        letters[:] = [m.record(DeadLetter) for m in found]
        by = Counter(letter.job for letter in letters)
        return by["writers-redis"] >= len(broken) + 3 + 1 and by["writers-milvus"] >= 3

    wait_until(all_are_buried)
    by_redis = [letter for letter in letters if letter.job == "writers-redis"]
    assert {one.reason for one in by_redis} == {*broken, "bad_vector", "bad_number", "rejected"}
    assert {one.reason for one in letters if one.job == "writers-milvus"} == {
        "bad_vector",
        "bad_number",
    }
    (cut,) = [one for one in by_redis if one.reason == "corrupt"]
    assert (cut.topic, cut.key, cut.payload) == ("user-snapshots", key, good[:-3])
    assert "does not read as user_snapshot" in cut.detail
    counted = metric(writers, "freshet_writers_dead_letters_total", store="redis", reason="corrupt")
    assert counted == 1


def test_one_store_away_does_not_hold_the_other(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    kill(writers, "milvus")
    users, updates = [user_snapshot(f"{name}-u", 1)], [embedding_update(f"{name}-u", 1)]
    emit(log, [*users, *updates, item_snapshot(f"{name}-i", 700)])
    wait_until_users_are(writers, users, updates)
    wait_until(lambda: metric(writers, "freshet_writers_store_up", store="milvus") == 0)
    status, detail = healthz(writers)
    assert (status, detail["redis"]["store"]) == (200, "up")
    assert "Milvus is not available" in detail["milvus"]["store"]

    writers.up("milvus")
    wait_until(lambda: found_in_milvus(writers, 700) == f"{name}-i", limit_s=60)
    kill(writers, "valkey")
    emit(log, [user_snapshot(f"{name}-u", 2), item_snapshot(f"{name}-j", 701)])
    wait_until(lambda: found_in_milvus(writers, 701) == f"{name}-j")
    wait_until(lambda: metric(writers, "freshet_writers_store_up", store="redis") == 0)
    writers.up("valkey")
    wait_until(lambda: stored_users(writers, [f"{name}-u"])[0].version == 2, limit_s=10)
    assert metric(writers, "freshet_writers_store_up", store="redis") == 1


def test_what_redis_took_and_lost_is_written_again(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    """Its log is taken from it, as a loss of power takes what isn't on the disk yet."""
    with connect(writers.settings.redis.url) as client:
        client.config_set("appendfsync", "no")
    users = [user_snapshot(f"{name}-u{n}", 1) for n in range(50)]
    updates = [embedding_update(user.user_id, 1) for user in users]
    emit(log, [*users, *updates])
    wait_until_users_are(writers, users, updates)
    time.sleep(1.5)
    kill(writers, "valkey")
    shutil.rmtree(Layout.of(writers.settings).data / "valkey" / "appendonlydir")
    writers.up("valkey")
    wait_until_users_are(writers, users, updates)


def test_killed_under_load_again_and_again_everything_arrives(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    users = [user_snapshot(f"{name}-u{n % 50}", 1 + n // 50) for n in range(3_000)]
    updates = [embedding_update(f"{name}-u{n % 50}", 1 + n // 50) for n in range(3_000)]
    emitting = threading.Thread(target=lambda: emit(log, mixed(users, updates), pause_s=0.001))
    emitting.start()
    for _ in range(3):
        time.sleep(1.5)
        kill(writers, "writers")
        writers.up("writers")
    emitting.join()
    wait_until_users_are(writers, users, updates, limit_s=60)


def test_stopped_by_sigterm_they_commit_and_read_nothing_twice(
    writers: LocalStack, log: EventLog, name: str
) -> None:
    users, updates = [user_snapshot(f"{name}-u", 1)], [embedding_update(f"{name}-u", 1)]
    emit(log, [*users, *updates])
    wait_until_users_are(writers, users, updates)
    writers.down("writers")
    writers.up("writers")
    wait_until(lambda: healthz(writers)[0] == 200, limit_s=30)
    emit(log, [user_snapshot(f"{name}-u", 2)])
    wait_until(lambda: stored_users(writers, [f"{name}-u"])[0].version == 2)
    read_again = metric(writers, "freshet_writers_records_total", store="redis")
    assert read_again == 1


def test_they_tell_how_they_are(writers: LocalStack, log: EventLog, name: str) -> None:
    now_ms = int(time.time() * 1000)
    emit(log, [user_snapshot(f"{name}-u", n, log_time_ms=now_ms) for n in range(1, 11)])
    topic = {"store": "redis", "topic": "user-snapshots"}
    wait_until(lambda: metric(writers, "freshet_writers_records_total", **topic) == 10)
    assert metric(writers, "freshet_writers_freshness_seconds_count", **topic) == 10
    assert metric(writers, "freshet_writers_freshness_seconds_sum", **topic) > 0
    assert metric(writers, "freshet_writers_batch_size_sum", store="redis") == 10
    assert metric(writers, "freshet_writers_write_seconds_count", store="redis") >= 1
    wait_until(lambda: metric(writers, "freshet_writers_lag", **topic) == 0)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        page(writers, "/elsewhere")


def kill(stack: LocalStack, part: str) -> None:
    """Kill a part of one program, and wait until its end is known."""
    stack.take_away(part)
    wait_until(lambda: stack.status(part).state is State.DIED)


def mixed(
    users: Sequence[UserSnapshot], updates: Sequence[EmbeddingUpdate]
) -> list[UserSnapshot | EmbeddingUpdate]:
    return [record for pair in zip(users, updates, strict=True) for record in pair]


def emit(
    log: EventLog,
    records: Sequence[UserSnapshot | EmbeddingUpdate | ItemSnapshot | ItemPopularity],
    *,
    pause_s: float = 0.0,
) -> None:
    """Write records to their topics as the jobs do, and see that Kafka has them."""
    sent = []
    for record in records:
        time.sleep(pause_s)
        match record:
            case UserSnapshot():
                sent.append(log.send(USER_SNAPSHOTS, record.user_id, record))
            case EmbeddingUpdate():
                sent.append(log.send(EMBEDDING_UPDATES, record.user_id, record))
            case ItemSnapshot():
                sent.append(log.send(ITEM_SNAPSHOTS, record.item_id, record))
            case ItemPopularity():
                sent.append(log.send(ITEM_POPULARITY, record.item_id, record))
    for one in sent:
        one.result(60)


class load:  # noqa: N801
    """Events at a rate, meanwhile."""

    def __init__(self, log: EventLog, name: str, *, rate: float) -> None:
        self._log, self._name, self._rate = log, name, rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        began, n = time.monotonic(), 0
        item_id = f"{self._name}-item"
        self._log.send(ITEM_SNAPSHOTS, item_id, item_snapshot(item_id, 1))
        while not self._over.is_set():
            n += 1
            user_id = f"{self._name}-load{n % 100}"
            self._log.send(USER_SNAPSHOTS, user_id, user_snapshot(user_id, n))
            self._log.send(EMBEDDING_UPDATES, user_id, embedding_update(user_id, n))
            self._log.send(ITEM_POPULARITY, item_id, item_popularity(item_id, n))
            time.sleep(max(0.0, began + n / self._rate - time.monotonic()))


def wait_until_users_are(
    stack: LocalStack,
    users: Sequence[UserSnapshot],
    updates: Sequence[EmbeddingUpdate],
    *,
    limit_s: float = 20,
) -> None:
    """Wait until Redis holds of each user the last snapshot, every interaction, the last vector."""
    last = {user.user_id: user for user in users}
    interactions = {
        user_id: {one.interaction.event_id for one in users if one.user_id == user_id}
        for user_id in last
    }
    vectors = {one.user_id: one.embedding for one in updates}

    def are_there() -> bool:
        return all(
            found.version == last[found.user_id].version
            and {one.event_id for one in found.recent} == interactions[found.user_id]
            and found.embedding_version == vectors[found.user_id].version
            and found.embedding is not None
            and found.embedding.tobytes() == vectors[found.user_id].vector
            for found in stored_users(stack, list(last))
        )

    wait_until(are_there, limit_s=limit_s)


def stored_users(stack: LocalStack, user_ids: Sequence[str]) -> list[UserView]:
    async def read_all() -> list[UserView]:
        async with OnlineReader(stack.settings.redis.url, timeout_ms=5_000) as reader:
            return [await reader.user(user_id, recent=100) for user_id in user_ids]

    return asyncio.run(read_all())


def stored_items(stack: LocalStack, name: str) -> dict[str, int]:
    """How many events the items of a test have had: of those that are in the catalogue."""

    async def read_all() -> list[ItemView]:
        async with OnlineReader(stack.settings.redis.url, timeout_ms=5_000) as reader:
            return [item async for page in reader.all_items() for item in page]

    found = [item for item in asyncio.run(read_all()) if item.item_id.startswith(f"{name}-")]
    return {item.item_id: item.total_events for item in found if item.catalog}


def found_in_milvus(stack: LocalStack, seed: int) -> str | None:
    """The item nearest to the vector of that seed."""

    async def search() -> list[tuple[str, float]]:
        async with VectorReader(stack.settings.milvus.uri, timeout_ms=5_000) as reader:
            return await reader.search_items(unit(seed, dim=WIDE), 1)

    try:
        nearest = asyncio.run(search())
    except StoreUnavailable:
        # It may only just have come back, or not have its collections yet.
        return None
    return nearest[0][0] if nearest and nearest[0][1] > 0.99 else None


def page(stack: LocalStack, path: str) -> str:
    url = f"http://127.0.0.1:{stack.settings.writers.metrics_port}{path}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def healthz(stack: LocalStack) -> tuple[int, dict[str, dict[str, str]]]:
    try:
        return 200, json.loads(page(stack, "/healthz"))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def metric(stack: LocalStack, series: str, **labels: str) -> float:
    """The sum of a series over the labels that aren't given."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page(stack, "/metrics"))
        for sample in family.samples
        if sample.name == series and labels.items() <= sample.labels.items()
    )


def wait_until(condition: Callable[[], bool], *, limit_s: float = 20) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "it did not come to pass in time"
        time.sleep(0.1)
