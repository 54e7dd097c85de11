"""kill -9 while the lake is filled: each usable message of the log is in it, once."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from freshet.job_submission import submit
from operators.counting import Tally
from operators.messages import Incoming
from schemas.lake import EVENTS, IMPRESSIONS, LAKE_TABLES, REWARDS, SNAPSHOTS, LakeTable
from schemas.topics import USER_EVENTS
from schemas.types import Record
from settings import Settings, load_settings
from settings.model import FlinkSettings, LakeSettings
from stack.local import LocalStack
from stores.event_log import EventLog, read
from stores.lake.reading import Lake
from tests.e2e.streams import eventually, job_of, now_ms, restarts_of
from tests.stores.lake.lakes import (
    SORTER,
    event,
    impression,
    read_back,
    reward,
    snapshot,
)

pytestmark = pytest.mark.e2e

JOB = "interaction_lake"
PAUSE_S = 0.003


@pytest.fixture(scope="module")
def lake_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Kafka and a Flink of one slot, with the job."""
    base = Settings(
        cache_dir=load_settings().cache_dir,
        flink=FlinkSettings(taskmanagers=1),
        lake=LakeSettings(commit_s=2),
    )
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("lake"))
    try:
        local.up("kafka", "flink")
        local.freshet("topics", "create")
        submit(local.settings, [JOB], say=print)
        yield local
    finally:
        local.down()


def test_each_message_is_in_the_lake_once_after_a_kill(lake_stack: LocalStack) -> None:
    lake = lake_stack.settings.lake_directory
    before = restarts_of(lake_stack, JOB)
    with _messages_flowing(lake_stack):
        eventually(lambda: any(lake.rglob("part-*.parquet")), expected=True)
        time.sleep(3)
        lake_stack.kill("taskmanager-1")
        eventually(lambda: restarts_of(lake_stack, JOB) > before, expected=True)
        eventually(lambda: job_of(lake_stack, JOB).is_running, expected=True, within_s=120)
        time.sleep(4)
    usable = Counter(_usable(lake_stack))
    assert min(Counter(topic for topic, _, _ in usable).values()) > 100
    eventually(lambda: Counter(_places(lake)), usable)
    # What is doubled would come with the next checkpoints.
    time.sleep(5)
    assert Counter(_places(lake)) == usable
    assert sorted(read_back(lake)) == sorted(_messages(lake_stack))
    _assert_compaction_keeps_all(lake_stack, usable)


def _assert_compaction_keeps_all(stack: LocalStack, usable: Counter[tuple[str, int, int]]) -> None:
    """The hours are not over, but an erasure is done at once; then SQL counts what is left."""
    with EventLog(stack.settings.kafka.bootstrap) as log:
        gone = event("erase", "u1", at_ms=now_ms(), event_type="erase", item_id=None)
        log.send(USER_EVENTS, "u1", gone).result(10)
    lake = stack.settings.lake_directory
    eventually(lambda: sum(Counter(_places(lake)).values()), sum(usable.values()) + 1)
    assert "rows of erased users are gone" in stack.freshet("lake", "compact").stdout
    left = Counter(_places(lake))
    assert left < usable
    users = {user for batch in Lake(lake).read(EVENTS) for user in batch["user_id"].to_pylist()}
    assert users == {f"u{number}" for number in range(7)} - {"u1"}
    question = "SELECT count() AS n, uniqExact(event_id) AS ids FROM interactions"
    (found,) = json.loads(stack.freshet("sql", question, "--json").stdout)
    events = sum(count for (topic, _, _), count in left.items() if topic == USER_EVENTS.name)
    assert found == {"n": events, "ids": events}


def _places(lake: Path) -> Iterator[tuple[str, int, int]]:
    """Where each row of the lake stood in the log, with no doubles taken out."""
    for table in LAKE_TABLES:
        for batch in Lake(lake).read(table, columns=["topic", "partition", "offset"]):
            yield from ((r["topic"], r["partition"], r["offset"]) for r in batch.to_pylist())


def _usable(stack: LocalStack) -> Iterator[tuple[str, int, int]]:
    return ((m.topic, m.partition, m.offset) for m in _messages(stack))


def _messages(stack: LocalStack) -> list[Incoming]:
    """The messages of the log that the lake keeps."""
    topics = [table.topic for table in LAKE_TABLES]
    found = (
        Incoming(m.key, m.value, m.position.topic, m.position.partition, m.position.offset, at)
        for m in read(stack.settings.kafka.bootstrap, topics)
        for at in [m.position.log_time_ms]
    )
    by_place = {(m.topic, m.partition, m.offset): m for m in found}
    rows = SORTER.rows(by_place.values(), Tally())
    return [by_place[row.table.topic.name, row.partition, row.offset] for row in rows]


@contextmanager
def _messages_flowing(stack: LocalStack) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_send, args=(stack, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _send(stack: LocalStack, stop: threading.Event) -> None:
    """Messages of every table, some of hours ago, and among them what can't be used."""
    with EventLog(stack.settings.kafka.bootstrap) as log:
        number = 0
        while not stop.wait(PAUSE_S):
            for table, record in _records(number):
                key = table.key_of(record.to_record()).decode()
                log.send(table.topic, key, record)
            if number % 10 == 0:
                log.send_raw(USER_EVENTS, b"u1", b"no event")
            number += 1


def _records(number: int) -> Iterator[tuple[LakeTable, Record]]:
    user, at_ms = f"u{number % 7}", now_ms() - (number % 3) * 3_600_000
    yield EVENTS, event(f"e{number}", user, at_ms=at_ms)
    yield IMPRESSIONS, impression(f"r{number}", user, at_ms=at_ms)
    yield REWARDS, reward(f"b{number}", user)
    yield SNAPSHOTS, snapshot(user, number + 1)
