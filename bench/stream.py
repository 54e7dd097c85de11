"""Events a second of the job user_state on a Flink cluster, beside its domain in a plain loop.

Both take the same events and do the same work: decode, check, apply, keep the state of each user as
bytes, encode what comes out. The difference is what Flink, RocksDB and Kafka cost. The loop is
measured before and after: how far its figures are apart tells how quiet the machine was.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import redis

from bench.result import save
from domain.embedding import Vector
from domain.events import ACTION_WEIGHTS, EventLimits, refusal
from domain.user_state import UserState, apply
from domain.user_state_codec import decode_user_state, encode_user_state
from schemas.codec import decode, encode
from schemas.collections import USER_DIM
from schemas.redis_keys import ITEM
from schemas.topics import USER_EVENTS, USER_SNAPSHOTS
from schemas.types import EventType, UserEvent
from settings import Settings, load_settings
from stack.local import LocalStack
from stores.event_log import EventLog, create_topics

PARTS = ("kafka", "valkey", "flink")
KINDS: tuple[EventType, ...] = ("view", "click", "add_to_cart", "purchase", "dismiss", "search")
SHARES = (70, 18, 5, 3, 2, 2)
BATCH = 5_000
POLL_S = 0.2

Message = tuple[bytes, bytes]


def main() -> None:
    """Measure, print and keep the result."""
    options = _options()
    messages = list(_messages(options.events, options.users, options.items))
    vectors = _vectors(options.items)
    before = _plain_loop(messages, vectors)
    print(f"plain loop: {before:,.0f} events/s", flush=True)
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        base = base.model_copy(
            update={"flink": base.flink.model_copy(update={"parallelism": options.parallelism})}
        )
        stack = LocalStack.beside(base, data_dir=Path(directory))
        try:
            flink = _on_flink(stack, messages, vectors)
        finally:
            stack.down()
    after = _plain_loop(messages, vectors)
    print(f"user_state: {flink:,.0f} events/s; plain loop again: {after:,.0f}")
    figures = {
        "plain_loop_events_per_s": [round(before), round(after)],
        "user_state_events_per_s": round(flink),
        "ratio": round((before + after) / 2 / flink, 2),
        **vars(options),
    }
    print(f"kept in {save('stream', figures)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.stream", description=__doc__)
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--parallelism", type=int, default=1)
    return parser.parse_args()


def _messages(events: int, users: int, items: int) -> Iterator[Message]:
    rng, now_ms = random.Random(7), int(time.time() * 1000)
    for number in range(events):
        user_id = f"user-{rng.randrange(users)}"
        kind = rng.choices(KINDS, SHARES)[0]
        event = UserEvent(
            event_id=f"{number:032x}",
            user_id=user_id,
            event_type=kind,
            timestamp_ms=now_ms - (events - number),
            item_id=None if kind == "search" else f"item-{rng.randrange(items)}",
            session_id=f"session-{user_id}",
            device_type="mobile",
            page_type="home",
            country="DE",
            position=rng.randrange(1, 20),
        )
        yield user_id.encode(), encode(event)


def _vectors(items: int) -> dict[str, Vector]:
    rng = np.random.default_rng(7)
    drawn = rng.standard_normal((items, USER_DIM)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return {f"item-{number}": drawn[number] for number in range(items)}


def _plain_loop(messages: list[Message], vectors: dict[str, Vector]) -> float:
    states: dict[bytes, bytes] = {}
    limits, log_time_ms = EventLimits(), int(time.time() * 1000)
    began = time.perf_counter()
    for key, value in messages:
        event = decode(value, UserEvent)
        assert refusal(event, key=key, log_time_ms=log_time_ms, limits=limits) is None
        stored = states.get(key)
        state = decode_user_state(stored) if stored else UserState()
        vector = vectors.get(event.item_id or "") if event.event_type in ACTION_WEIGHTS else None
        outcome = apply(state, event, item_vector=vector, log_time_ms=log_time_ms)
        for record in (outcome.embedding, outcome.snapshot, outcome.signal):
            if record is not None:
                encode(record)
        states[key] = encode_user_state(state)
    return len(messages) / (time.perf_counter() - began)


def _on_flink(stack: LocalStack, messages: list[Message], vectors: dict[str, Vector]) -> float:
    """The rate between a tenth and nineteen twentieths of the backlog, so neither start nor end."""
    stack.up(*PARTS)
    kafka = stack.settings.kafka
    create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
    client = redis.Redis.from_url(stack.settings.redis.url)
    for item_id, vector in vectors.items():
        client.hset(ITEM.of(item_id), mapping={"vector": vector.tobytes()})
    _produce(kafka.bootstrap, messages)
    stack.freshet("job", "submit", "user_state")
    marks = (len(messages) // 10, len(messages) * 19 // 20)
    seen = [_when_reached(kafka.bootstrap, mark) for mark in marks]
    (first_s, first), (last_s, last) = seen
    return (last - first) / (last_s - first_s)


def _produce(bootstrap: str, messages: list[Message]) -> None:
    with EventLog(bootstrap, linger_ms=20, deadline_s=60) as log:
        for start in range(0, len(messages), BATCH):
            for key, value in messages[start : start + BATCH]:
                log.send_raw(USER_EVENTS, key, value)
            log.flush()


def _when_reached(bootstrap: str, count: int, *, timeout_s: float = 600) -> tuple[float, int]:
    """When the job had told of so many events, and of how many it had then."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    numbers = consumer.partitions_for_topic(USER_SNAPSHOTS.name)
    partitions = [TopicPartition(USER_SNAPSHOTS.name, number) for number in numbers]
    until = time.monotonic() + timeout_s
    while (told := sum(consumer.end_offsets(partitions).values())) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{told} of {count} events in {timeout_s} s; see the job's log")
        time.sleep(POLL_S)
    at_s = time.perf_counter()
    consumer.close()
    return at_s, told


if __name__ == "__main__":
    main()
