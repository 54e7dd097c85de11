"""Events a second of folds on a Flink cluster, beside the same folds in a plain loop.

Both take the same events and do the same: decode, check, apply, keep the state of each user, encode
what comes out. The plain loop keeps bytes in a dict, and decodes and encodes them with each event.
The difference is what Flink, RocksDB and Kafka cost. The loop is measured before and after: how far
its figures are apart tells how quiet the machine was. CPU time says what an event costs where the
machine is not quiet: of the loop's thread, and of the TaskManagers with all their threads.
"""

import argparse
import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.events import Message, events, item_vectors, produce, store_items
from bench.minimal import MinimalFold
from bench.result import save
from freshet.job_submission import environment_of
from jobs import user_state
from operators.fold import Fold
from operators.living import Living
from operators.messages import Incoming
from schemas.topics import EMBEDDING_UPDATES, USER_EVENTS, USER_SNAPSHOTS, Topic
from settings import Settings, load_settings
from stack import flink
from stack.layout import ROOT
from stack.local import LocalStack
from stores.event_log import create_topics

PARTS = ("kafka", "valkey", "flink")
POLL_S = 0.2
# Threads of a pool differ by a number.
_KIND = re.compile(r"[-#:]*[0-9]*$")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fold, the job that runs it, and the topic that has a message for each of its events."""

    job: str
    script: Path
    make_fold: Callable[[Settings], Fold[Any]]
    tells: Topic


CASES = (
    Case(
        job="user_state",
        script=ROOT / "jobs" / "user_state.py",
        make_fold=user_state.make_fold,
        tells=USER_SNAPSHOTS,
    ),
    Case(
        job="minimal",
        script=ROOT / "bench" / "minimal.py",
        make_fold=lambda _settings: MinimalFold(),
        tells=EMBEDDING_UPDATES,
    ),
)


def main() -> None:
    """Measure, print and keep the result."""
    options = _options()
    now_ms = int(time.time() * 1000)
    messages = list(
        events(options.events, users=options.users, items=options.items, last_ms=now_ms)
    )
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        stack = LocalStack.beside(_settings(options), data_dir=Path(directory))
        try:
            _fill(stack, messages, options.items)
            figures = {
                case.job: _measured(case, stack, messages, options.mode)
                for case in CASES
                if case.job in options.jobs
            }
        finally:
            stack.down()
    print(f"kept in {save('stream', {**figures, **vars(options)})}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.stream", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--mode", choices=("thread", "process"), default="thread")
    parser.add_argument("--jobs", nargs="+", default=[case.job for case in CASES])
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> Settings:
    base = Settings(cache_dir=load_settings().cache_dir)
    cluster = {"parallelism": options.parallelism, "taskmanagers": options.parallelism}
    return base.model_copy(update={"flink": base.flink.model_copy(update=cluster)})


def _fill(stack: LocalStack, messages: Iterable[Message], items: int) -> None:
    stack.up(*PARTS)
    kafka = stack.settings.kafka
    create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
    store_items(stack.settings.redis.url, item_vectors(items))
    produce(kafka.bootstrap, messages)


def _measured(
    case: Case, stack: LocalStack, messages: list[Message], mode: str
) -> dict[str, object]:
    fold = case.make_fold(stack.settings)
    loops = [_plain_loop(fold, messages)]
    job, job_cpu_us = _on_flink(case, stack, len(messages), mode)
    loops.append(_plain_loop(fold, messages))
    loop = sum(rate for rate, _ in loops) / 2
    figures = {
        "plain_loop_events_per_s": [round(rate) for rate, _ in loops],
        "plain_loop_cpu_us_per_event": [round(cpu_us, 1) for _, cpu_us in loops],
        "job_events_per_s": round(job),
        "job_cpu_us_per_event": round(sum(job_cpu_us.values()), 1),
        "job_cpu_us_by_thread": _largest(job_cpu_us),
        "job_to_loop": round(job / loop, 2),
    }
    print(f"{case.job}: {figures}", flush=True)
    return figures


def _plain_loop(fold: Fold[Any], messages: list[Message]) -> tuple[float, float]:
    """Events a second, and microseconds of CPU time an event."""
    living, log_time_ms = Living(fold), int(time.time() * 1000)
    began_s, began_cpu_s = time.perf_counter(), time.thread_time()
    for number, (key, value) in enumerate(messages):
        for _ in living.take(Incoming(key, value, USER_EVENTS.name, 0, number, log_time_ms)):
            pass
    cpu_s, wall_s = time.thread_time() - began_cpu_s, time.perf_counter() - began_s
    dead = {name: n for name, n in living.tally.counters.items() if name.startswith("dead")}
    assert not dead, f"events that can't be used: {dead}"
    return len(messages) / wall_s, cpu_s / len(messages) * 1e6


def _on_flink(
    case: Case, stack: LocalStack, count: int, mode: str
) -> tuple[float, dict[str, float]]:
    """The rate between a tenth and nineteen twentieths of the backlog, so neither start nor end."""
    bootstrap, before = stack.settings.kafka.bootstrap, _told(case.tells, stack)
    _submit(case, stack, mode)
    marks = [
        (*_when_reached(case.tells, stack, before + mark), _taskmanagers_cpu_s(stack))
        for mark in (count // 10, count * 19 // 20)
    ]
    _cancel(stack)
    (first_s, first, first_cpu_s), (last_s, last, last_cpu_s) = marks
    done = last - first
    assert done > 0, f"nothing left at {bootstrap}"
    cpu_us = {
        name: (cpu_s - first_cpu_s.get(name, 0)) / done * 1e6 for name, cpu_s in last_cpu_s.items()
    }
    return done / (last_s - first_s), cpu_us


def _largest(figures: dict[str, float]) -> dict[str, float]:
    by_size = sorted(figures.items(), key=lambda one: -one[1])
    return {name: round(figure, 1) for name, figure in by_size[:8]}


def _submit(case: Case, stack: LocalStack, mode: str) -> None:
    settings = stack.settings
    options = ("--detached", f"-Dpython.execution-mode={mode}")
    subprocess.run(
        flink.client_command("run", *options, "--python", str(case.script)),
        env={**os.environ, **flink.client_environment(settings), **environment_of(settings)},
        capture_output=True,
        check=True,
    )


def _cancel(stack: LocalStack) -> None:
    """End whatever runs, so that the next has the slots."""
    from freshet.flink_cluster import FlinkCluster

    cluster = FlinkCluster(stack.settings.flink.rest_address)
    for job in cluster.jobs():
        if job.state == "RUNNING":
            cluster.cancel(job.job_id)
    while cluster.free_slots() < stack.settings.flink.parallelism:
        time.sleep(POLL_S)


def _taskmanagers_cpu_s(stack: LocalStack) -> dict[str, float]:
    """Seconds of CPU time by the names of threads, as far as the system keeps them."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for number in range(1, stack.settings.flink.taskmanagers + 1):
        pid = stack.pid(f"taskmanager-{number}")
        for thread in psutil.Process(pid).threads():
            with contextlib.suppress(FileNotFoundError):
                name = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text(encoding="utf-8")
                seconds[_KIND.sub("", name.strip())] += thread.user_time + thread.system_time
    return seconds


def _told(topic: Topic, stack: LocalStack) -> int:
    """The messages of a topic, by its offsets."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=stack.settings.kafka.bootstrap)
    numbers = consumer.partitions_for_topic(topic.name)
    partitions = [TopicPartition(topic.name, number) for number in numbers]
    told = sum(consumer.end_offsets(partitions).values())
    consumer.close()
    return int(told)


def _when_reached(
    topic: Topic, stack: LocalStack, count: int, *, timeout_s: float = 300
) -> tuple[float, int]:
    """When a job had told of so many events, and of how many it had then."""
    until = time.monotonic() + timeout_s
    while (told := _told(topic, stack)) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{told} of {count} events in {timeout_s} s; see the job's log")
        time.sleep(POLL_S)
    return time.perf_counter(), told


if __name__ == "__main__":
    main()
