"""What a user costs as there are more of them: bytes, events a second, time of a checkpoint.

Each size is a stack of its own with as many users, each with so many events; every user has its
vectors before the rate is taken over the last part of the events.
"""

import argparse
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any

from bench.events import events, item_vectors, produce, store_items
from bench.result import save
from freshet.flink_cluster import FlinkCluster
from schemas.topics import USER_SNAPSHOTS
from settings import Settings, load_settings
from stack.local import LocalStack
from stores.event_log import create_topics

PARTS = ("kafka", "valkey", "flink")
JOB = "user_state"
ITEMS = 1_000
POLL_S = 0.5


def main() -> None:
    """Measure each size, print and keep the curve."""
    options = _options()
    curve = []
    for users in options.users:
        with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
            base = Settings(cache_dir=load_settings().cache_dir)
            stack = LocalStack.beside(base, data_dir=Path(directory))
            try:
                curve.append(_measure(stack, users, options.events_each))
            finally:
                stack.down()
        print(json.dumps(curve[-1]), flush=True)
    print(f"kept in {save('growth', {'curve': curve, 'events_each': options.events_each})}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--events-each", type=int, default=3)
    return parser.parse_args()


def _measure(stack: LocalStack, users: int, events_each: int) -> dict[str, Any]:
    stack.up(*PARTS)
    settings = stack.settings
    kafka = settings.kafka
    create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
    store_items(settings.redis.url, item_vectors(ITEMS))
    count = users * events_each
    stack.freshet("job", "submit", JOB)
    produce(
        kafka.bootstrap,
        events(count, users=users, items=ITEMS, last_ms=int(time.time() * 1000), in_turn=True),
    )
    rates = _rates(kafka.bootstrap, count)
    return {"users": users, "events": count, **rates, **_checkpoints(settings, users)}


def _rates(bootstrap: str, count: int) -> dict[str, Any]:
    """The rate over the second half of the events, when most users have a state to be read."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    numbers = consumer.partitions_for_topic(USER_SNAPSHOTS.name)
    partitions = [TopicPartition(USER_SNAPSHOTS.name, number) for number in numbers]
    marks: list[tuple[float, int]] = []
    told, until = 0, time.monotonic() + 3_600
    while told < count * 0.99 and time.monotonic() < until:
        told = sum(consumer.end_offsets(partitions).values())
        if told >= count // 2:
            marks.append((time.perf_counter(), told))
        time.sleep(POLL_S)
    consumer.close()
    (first_s, first), (last_s, last) = marks[0], marks[-1]
    return {"told": told, "events_per_s": round((last - first) / max(last_s - first_s, POLL_S))}


def _checkpoints(settings: Settings, users: int) -> dict[str, Any]:
    """Sizes and times of the checkpoints that Flink remembers, the newest whole."""
    cluster = FlinkCluster(settings.flink.rest_address)
    job = cluster.active(JOB)
    assert job is not None
    address = f"http://{settings.flink.rest_address}/jobs/{job.job_id}/checkpoints"
    with urllib.request.urlopen(address, timeout=10) as response:
        found = json.load(response)
    done = [one for one in found["history"] if one["status"] == "COMPLETED"]
    size = max(int(one["state_size"]) for one in done)
    return {
        "state_bytes": size,
        "bytes_per_user": round(size / users),
        "checkpoint_ms_median": median(int(one["end_to_end_duration"]) for one in done),
        "checkpoint_ms_max": max(int(one["end_to_end_duration"]) for one in done),
    }


if __name__ == "__main__":
    main()
