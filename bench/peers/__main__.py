"""The same least work in other stream processors, on the same topic and machine.

Decode an event by fastavro, read a vector of 512 numbers, change it, write it, emit it: a plain
loop, Quix Streams, Bytewax, and the product's own operator (`bench/minimal.py`). Beside them what
`user_state` does, as the product does it and by the book (`bench/naive_pyflink.py`).

Each runs by itself, from the start of the same topic. A rate is taken from what has arrived in its
own topic, between a tenth and nineteen twentieths of all. CPU time is that of its processes, so
that events a second of a whole core can be told also where a run has more threads than one.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.events import events, item_vectors, produce, store_items
from bench.result import save
from freshet.flink_cluster import FlinkCluster
from freshet.job_submission import environment_of
from schemas.topics import EMBEDDING_UPDATES, USER_EVENTS, USER_SNAPSHOTS, Topic
from settings import Settings, load_settings
from stack import flink
from stack.layout import ROOT
from stack.local import LocalStack
from stores.event_log import create_topics

PARTS = ("kafka", "valkey", "flink")
PEERS_PYTHON = ROOT / ".bench-venv" / "bin" / "python"
POLL_S = 0.2


class Ended(Exception):  # noqa: N818
    """A peer is gone before it was done."""


# Runs something that writes to a topic, and answers its process.
Run = Callable[[LocalStack, Topic], AbstractContextManager[int]]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Something to measure: how it runs, where it writes, and how often for each event."""

    run: Run
    topic: Topic | None = None
    each: int = 1


def main() -> None:
    """Measure each in turn, print and keep the results."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        stack = LocalStack.beside(_settings(), data_dir=Path(directory))
        try:
            _fill(stack, options)
            figures = {name: _measured(name, stack, options) for name in options.only}
        finally:
            stack.down()
    print(f"kept in {save(options.keep_as, {**figures, **vars(options)})}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=1_000)
    parser.add_argument("--timeout-s", type=float, default=900)
    parser.add_argument("--keep-as", default="peers", help="name of the result's file")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    return parser.parse_args()


def _settings() -> Settings:
    base = Settings(cache_dir=load_settings().cache_dir)
    one_slot = {"parallelism": 1, "taskmanagers": 1}
    return base.model_copy(update={"flink": base.flink.model_copy(update=one_slot)})


def _fill(stack: LocalStack, options: argparse.Namespace) -> None:
    stack.up(*PARTS)
    kafka = stack.settings.kafka
    create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
    store_items(stack.settings.redis.url, item_vectors(options.items))
    last_ms = int(time.time() * 1000)
    made = events(options.events, users=options.users, items=options.items, last_ms=last_ms)
    produce(kafka.bootstrap, made)


def _measured(name: str, stack: LocalStack, options: argparse.Namespace) -> Mapping[str, object]:
    peer, kafka = PEERS[name], stack.settings.kafka
    topic = peer.topic or replace(EMBEDDING_UPDATES, name=f"bench-{name}")
    create_topics(
        kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication, topics=[topic]
    )
    all_of_it = options.events * peer.each
    before = _told(topic, kafka.bootstrap)
    try:
        with peer.run(stack, topic) as pid:
            first, last = (
                _mark(topic, kafka.bootstrap, pid, before + share, until_s=options.timeout_s)
                for share in (all_of_it // 10, all_of_it * 19 // 20)
            )
    except (Ended, TimeoutError, psutil.NoSuchProcess, subprocess.CalledProcessError) as error:
        # One that doesn't run is a result; the others are still wanted.
        figures: Mapping[str, object] = {"failed": str(error)}
    else:
        figures = _rates(first, last, each=peer.each)
    print(f"{name}: {figures}", flush=True)
    return figures


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a run was, when, and after how much CPU time."""

    told: int
    at_s: float
    cpu_s: float


def _rates(first: Mark, last: Mark, *, each: int) -> Mapping[str, object]:
    done = (last.told - first.told) / each
    if not done:
        return {"failed": "it was done before it could be looked at twice; give more --events"}
    wall_s, cpu_s = last.at_s - first.at_s, last.cpu_s - first.cpu_s
    return {
        "events_per_s": round(done / wall_s),
        "cpu_us_per_event": round(cpu_s / done * 1e6, 1),
        "events_per_s_of_a_core": round(done / cpu_s),
        "cores_used": round(cpu_s / wall_s, 2),
        "measured_events": round(done),
    }


def _mark(topic: Topic, bootstrap: str, pid: int, count: int, *, until_s: float) -> Mark:
    give_up = time.monotonic() + until_s
    while (told := _told(topic, bootstrap)) < count:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            raise Ended(f"it ended by itself after {told} of {count} messages")
        if time.monotonic() > give_up:
            raise TimeoutError(f"{told} of {count} messages in {until_s:g} s")
        time.sleep(POLL_S)
    return Mark(told=told, at_s=time.perf_counter(), cpu_s=_cpu_s(pid))


def _told(topic: Topic, bootstrap: str) -> int:
    """The messages of a topic, by its offsets."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    try:
        numbers = consumer.partitions_for_topic(topic.name)
        partitions = [TopicPartition(topic.name, number) for number in numbers]
        return sum(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()


def _cpu_s(pid: int) -> float:
    """Seconds of CPU time of a process and of those that it has started."""
    root = psutil.Process(pid)
    spent_s = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent_s += times.user + times.system
    return spent_s


def _script(name: str) -> Run:
    """One of the scripts here, in the peers' own environment."""

    @contextmanager
    def run(stack: LocalStack, topic: Topic) -> Iterator[int]:
        directory = stack.layout.data / "peers" / name
        directory.mkdir(parents=True)
        arguments = (stack.settings.kafka.bootstrap, USER_EVENTS.name, topic.name)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [PEERS_PYTHON, "-m", f"bench.peers.{name}", *arguments, directory / "state"],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield process.pid
            except (Ended, TimeoutError):
                print((directory / "log").read_text(errors="replace")[-2_000:])
                raise
            finally:
                process.kill()
                process.wait()

    return run


def _job(script: str) -> Run:
    """A job on the stack's Flink cluster, which has one TaskManager of one slot."""

    @contextmanager
    def run(stack: LocalStack, topic: Topic) -> Iterator[int]:
        settings = stack.settings
        command = flink.client_command(
            "run", "--detached", "--python", str(ROOT / script), topic.name
        )
        environ = {**os.environ, **flink.client_environment(settings), **environment_of(settings)}
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=180
        )
        if done.returncode:
            print(done.stdout[-2_000:], done.stderr[-2_000:])
            done.check_returncode()
        try:
            yield stack.pid("taskmanager-1")
        finally:
            _cancel(settings)

    return run


def _cancel(settings: Settings) -> None:
    """End what runs, so that the next has the slot."""
    cluster = FlinkCluster(settings.flink.rest_address)
    for job in cluster.jobs():
        if job.state in {"RUNNING", "RESTARTING"}:
            cluster.cancel(job.job_id)
    while cluster.free_slots() < 1:
        time.sleep(POLL_S)


PEERS: Mapping[str, Peer] = {
    "plain_loop": Peer(run=_script("plain_loop")),
    "quix": Peer(run=_script("quix")),
    "bytewax": Peer(run=_script("bytewax_flow")),
    "freshet_minimal": Peer(run=_job("bench/minimal.py"), topic=EMBEDDING_UPDATES),
    "freshet_user_state": Peer(run=_job("jobs/user_state.py"), topic=USER_SNAPSHOTS),
    "naive_pyflink": Peer(run=_job("bench/naive_pyflink.py"), each=4),
}


if __name__ == "__main__":
    main()
