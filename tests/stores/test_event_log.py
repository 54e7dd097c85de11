import asyncio
import threading
import time

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from schemas.topics import BANDIT_UPDATES, TICK_KEY, TOPICS, USER_SNAPSHOTS
from schemas.types import UserSnapshot
from stack.local import LocalStack
from stores.errors import LogUnavailable
from stores.event_log import EventLog, create_topics, partitions_of, read, topic_states
from stores.log_producer import Position
from tests.stores.records import user_snapshot

pytestmark = [
    pytest.mark.e2e,
]

NOBODY = "127.0.0.1:9"


def test_topics_are_created_once_as_declared(bootstrap: str) -> None:
    again = create_topics(bootstrap, scale=0.04, replication=1)
    assert (again.created, again.different) == ((), ())
    states = {state.name: state.partitions for state in topic_states(bootstrap, scale=0.04)}
    assert states == {topic.name: topic.scaled_partitions(0.04) for topic in TOPICS}


def test_a_missing_topic_is_added_and_a_different_one_is_reported(bootstrap: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.delete_topics([BANDIT_UPDATES.name])
    admin.close()
    assert {s.name: s.partitions for s in topic_states(bootstrap, scale=0.04)}[
        BANDIT_UPDATES.name
    ] == 0
    with pytest.raises(
        LogUnavailable, match="has no topic bandit-updates; `freshet topics create`"
    ):
        list(read(bootstrap, [BANDIT_UPDATES]))
    report = create_topics(bootstrap, scale=0.08, replication=1)
    assert report.created == (BANDIT_UPDATES.name,)
    different = {state.name: (state.partitions, state.wanted) for state in report.different}
    assert different["user-events"] == (4, 8)
    assert BANDIT_UPDATES.name not in different


def test_log_time_is_the_brokers(bootstrap: str) -> None:
    before_ms = time.time() * 1000
    with EventLog(bootstrap) as log:
        position = log.send(USER_SNAPSHOTS, "u", user_snapshot("u", 1)).result(10)
    assert before_ms - 1 <= position.log_time_ms <= time.time() * 1000 + 1


def test_topics_without_kafka_say_where_it_was_looked_for() -> None:
    with pytest.raises(LogUnavailable, match=r"no answer from 127\.0\.0\.1:9 in 1 s; is it up"):
        create_topics(NOBODY, scale=1, replication=1, timeout_s=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kafka")]
    with pytest.raises(LogUnavailable, match=r"no answer from 127\.0\.0\.1:9 in 1 s"):
        list(read(NOBODY, [USER_SNAPSHOTS], timeout_s=1))


async def test_what_is_appended_is_read_back(bootstrap: str) -> None:
    from_ms = int(time.time() * 1000)
    sent = [user_snapshot(f"append-{n}", n) for n in range(1, 21)]
    with EventLog(bootstrap) as log:
        positions = [await log.append(USER_SNAPSHOTS, one.user_id, one) for one in sent]
    found = list(read(bootstrap, [USER_SNAPSHOTS], from_ms=from_ms))
    assert {m.position for m in found} >= set(positions)
    records = {m.position: m.record(UserSnapshot) for m in found}
    assert [records[position] for position in positions] == sent
    assert {m.key for m in found if m.position in positions} == {s.user_id.encode() for s in sent}


def test_a_tick_is_in_each_partition_and_no_reader_sees_it(bootstrap: str) -> None:
    before = list(read(bootstrap, [USER_SNAPSHOTS]))
    with EventLog(bootstrap) as log:
        log.tick([USER_SNAPSHOTS])
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    partitions = partitions_of(consumer, USER_SNAPSHOTS)
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, ends[partition] - 1)
    last: dict[int, tuple[bytes, None]] = {}
    until = time.monotonic() + 10
    while len(last) < len(partitions) and time.monotonic() < until:
        for found in consumer.poll(timeout_ms=200).values():
            last |= {one.partition: (one.key, one.value) for one in found}
    consumer.close()
    assert last == {one.partition: (TICK_KEY, None) for one in partitions}
    assert list(read(bootstrap, [USER_SNAPSHOTS])) == before


def test_without_kafka_a_tick_says_so_within_its_deadline() -> None:
    began = time.monotonic()
    with EventLog(NOBODY, deadline_s=0.5) as log, pytest.raises(LogUnavailable, match="tick: "):
        log.tick([USER_SNAPSHOTS])
    assert time.monotonic() - began < 5


def test_reading_from_a_time_leaves_out_what_was_before(bootstrap: str) -> None:
    with EventLog(bootstrap) as log:
        log.send(USER_SNAPSHOTS, "before", user_snapshot("before", 1)).result(10)
        time.sleep(0.05)
        at = log.send(USER_SNAPSHOTS, "after", user_snapshot("after", 1)).result(10)
    keys = {m.key for m in read(bootstrap, [USER_SNAPSHOTS], from_ms=at.log_time_ms)}
    assert b"after" in keys
    assert b"before" not in keys
    assert {b"before", b"after"} <= {m.key for m in read(bootstrap, [USER_SNAPSHOTS])}
    assert list(read(bootstrap, [USER_SNAPSHOTS], from_ms=at.log_time_ms + 3_600_000)) == []


def test_a_reader_of_committed_records_sees_no_aborted_ones(bootstrap: str) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id="test-aborts")
    producer.init_transactions()
    for key, end in ((b"kept", producer.commit_transaction), (b"gone", producer.abort_transaction)):
        producer.begin_transaction()
        producer.send(USER_SNAPSHOTS.name, key=key, value=b"x")
        producer.flush()
        end()
    producer.close()
    committed = {m.key for m in read(bootstrap, [USER_SNAPSHOTS])}
    everything = {m.key for m in read(bootstrap, [USER_SNAPSHOTS], read_committed=False)}
    assert b"kept" in committed
    assert b"gone" not in committed
    assert {b"kept", b"gone"} <= everything


async def test_without_kafka_the_deadline_holds_for_appending_and_sending() -> None:
    with EventLog(NOBODY, deadline_s=0.5) as log:
        began = time.monotonic()
        with pytest.raises(LogUnavailable, match="Kafka is not available: topic user-snapshots"):
            await log.append(USER_SNAPSHOTS, "u", user_snapshot("u", 1))
        assert time.monotonic() - began < 1.5
        with pytest.raises(LogUnavailable, match="topic user-snapshots"):
            log.send(USER_SNAPSHOTS, "u", user_snapshot("u", 1)).result(2)


async def test_the_loop_is_not_held_while_kafka_is_looked_for() -> None:
    with EventLog(NOBODY, deadline_s=0.5) as log:
        waiting = asyncio.ensure_future(log.append(USER_SNAPSHOTS, "u", user_snapshot("u", 1)))
        longest, last = 0.0, time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert longest < 0.25
        with pytest.raises(LogUnavailable):
            waiting.result()


async def test_a_log_works_again_when_kafka_is_back(servers: LocalStack, bootstrap: str) -> None:
    with EventLog(bootstrap, deadline_s=1) as log:
        await log.append(USER_SNAPSHOTS, "u", user_snapshot("u", 1))
        servers.take_away("kafka")
        with pytest.raises(LogUnavailable):
            await log.append(USER_SNAPSHOTS, "u", user_snapshot("u", 2))
        servers.up("kafka")
        back_after_s = await _until_appended(log, limit_s=15)
        assert back_after_s < 10


async def _until_appended(log: EventLog, *, limit_s: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        try:
            await log.append(USER_SNAPSHOTS, "u", user_snapshot("u", 3))
        except LogUnavailable:
            continue
        return time.monotonic() - began
    return limit_s


async def test_records_bear_the_headers_of_the_moment(bootstrap: str) -> None:
    now = [("traceparent", b"theirs")]
    with EventLog(bootstrap, headers=lambda: now) as log:
        alone = await log.append(USER_SNAPSHOTS, "u", user_snapshot("u", 1))
        (together,) = await log.append_each(USER_SNAPSHOTS, [("v", user_snapshot("v", 1))])
    assert isinstance(together, Position)
    for position in (alone, together):
        consumer = KafkaConsumer(bootstrap_servers=bootstrap)
        partition = TopicPartition(position.topic, position.partition)
        consumer.assign([partition])
        consumer.seek(partition, position.offset)
        (found,) = consumer.poll(timeout_ms=10_000, max_records=1)[partition]
        consumer.close()
        assert list(found.headers) == now


async def test_each_of_many_is_told_of_by_itself(bootstrap: str) -> None:
    sent = [(f"each-{number}", user_snapshot(f"each-{number}", 1)) for number in range(50)]
    with EventLog(bootstrap) as log:
        told = await log.append_each(USER_SNAPSHOTS, sent)
        assert await log.append_each(USER_SNAPSHOTS, []) == []
    positions = [one for one in told if isinstance(one, Position)]
    assert len(positions) == len(sent)
    there = {message.position: message.key for message in read(bootstrap, [USER_SNAPSHOTS])}
    assert [there[position] for position in positions] == [key.encode() for key, _ in sent]


async def test_without_kafka_each_of_many_is_told_of_too() -> None:
    with EventLog(NOBODY, deadline_s=0.3) as log:
        told = await log.append_each(USER_SNAPSHOTS, [("u", user_snapshot("u", 1))] * 2)
    assert [isinstance(one, LogUnavailable) for one in told] == [True, True]


def test_keys_belong_where_other_producers_put_them(bootstrap: str) -> None:
    keys = [f"user-{number}" for number in range(40)]
    other = KafkaProducer(bootstrap_servers=bootstrap)
    theirs = [
        other.send(USER_SNAPSHOTS.name, key=key.encode(), value=b"x").get(10).partition
        for key in keys
    ]
    other.close()
    with EventLog(bootstrap) as log:
        ours = [log.send_raw(USER_SNAPSHOTS, key.encode(), b"x").result(10) for key in keys]
    assert [one.partition for one in ours] == theirs
    assert len(set(theirs)) > 1
