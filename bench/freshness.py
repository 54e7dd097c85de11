"""From an event produced to its user's state readable in Redis, while the stream is half full.

A process of its own sends a steady load; probes are events of users of whom nobody else sends
anything, so that they have a context in Redis tells that their event is in. The loads are a quarter
and half of the most that job and writers have got through just before. Each runs for a while before
it is measured, as the haste of before has left Milvus an index to build.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis

from bench.events import event, events, item_vectors, produce, store_items
from bench.result import save
from demo.freshness import histogram, summary
from schemas.redis_keys import CONTEXT
from schemas.topics import USER_EVENTS
from settings import Settings, load_settings
from stack.local import LocalStack
from stores.event_log import EventLog, create_topics

SERVERS = ("kafka", "valkey", "milvus", "flink")
SERVICES = ("writers", "jobs")
KEPT = ("seconds", "settle_s", "users", "probes_per_s", "jobs")
ITEMS = 1_000
TICK_S = 0.01
POLL_S = 0.002
TIMEOUT_S = 10.0
WARM_UP, AT_ONCE = 15_000, 30_000
# So many that there is one in every partition.
PROBES_AT_END = 16


def main() -> None:
    """Measure, draw and keep the result."""
    options = _options()
    if options.load_to:
        _send_load(options)
        return
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        stack = LocalStack.beside(base, data_dir=Path(directory))
        try:
            most, found = _measure(stack, options)
        finally:
            stack.down()
    figures = {
        "most_per_s": round(most),
        "loads": found,
        **{name: getattr(options, name) for name in KEPT},
    }
    print(f"kept in {save('freshness', figures)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.freshness", description=__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5], help="of the most")
    parser.add_argument("--rates", type=float, nargs="+", help="events/s, instead of the shares")
    parser.add_argument("--rate", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--settle-s", type=int, default=45)
    parser.add_argument("--users", type=int, default=5_000)
    parser.add_argument("--probes-per-s", type=int, default=10)
    parser.add_argument("--jobs", nargs="+", default=["user_state"])
    parser.add_argument("--load-to", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(stack: LocalStack, options: argparse.Namespace) -> tuple[float, list[dict[str, Any]]]:
    stack.up(*SERVERS)
    kafka = stack.settings.kafka
    create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
    store_items(stack.settings.redis.url, item_vectors(ITEMS))
    stack.freshet("job", "submit", *options.jobs)
    stack.up(*SERVICES)
    _most(stack, options.users, first=0, count=WARM_UP)
    most = _most(stack, options.users, first=WARM_UP, count=AT_ONCE)
    print(f"{most:,.0f} events/s at most")
    rates = options.rates or [share * most for share in options.shares]
    return most, [_under_load(stack, rate, options) for rate in rates]


def _under_load(stack: LocalStack, rate: float, options: argparse.Namespace) -> dict[str, Any]:
    with _load(stack.settings.kafka.bootstrap, rate, options) as load:
        time.sleep(options.settle_s)
        prefix = f"probe-{rate:.0f}"
        times_ms = _probe(stack, options.seconds, options.probes_per_s, prefix=prefix)
    sent = load[0] / (options.seconds + options.settle_s)
    found, drawn = summary(times_ms), histogram(times_ms)
    print("\n".join(drawn))
    print(f"{sent:,.0f} events/s: {found}", flush=True)
    return {"sent_per_s": round(sent), **asdict(found), "histogram": drawn}


def _most(stack: LocalStack, users: int, *, first: int, count: int) -> float:
    """Events a second when all come at once, until those that came last are readable."""
    began = time.perf_counter()
    now_ms = int(time.time() * 1000)
    made = events(count, users=users, items=ITEMS, last_ms=now_ms, first=first)
    produce(stack.settings.kafka.bootstrap, made)
    _probe(stack, seconds=1, per_s=PROBES_AT_END, prefix=f"last-of-{count}", timeout_s=600)
    return count / (time.perf_counter() - began)


@contextmanager
def _load(bootstrap: str, rate: float, options: argparse.Namespace) -> Iterator[list[int]]:
    sent = [0]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.freshness", "--load-to", bootstrap),
            *("--rate", str(rate), "--users", str(options.users)),
            *("--seconds", str(options.seconds + options.settle_s)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield sent
        told, _ = process.communicate(timeout=options.seconds + 60)
        sent[0] = int(told)
    finally:
        process.kill()
        process.wait()


def _send_load(options: argparse.Namespace) -> None:
    """Send at a steady rate for so many seconds; what can't be sent in time is not made up for."""
    rng, sent = random.Random(11), 0
    ready = [
        event(
            f"load{time.time_ns():020x}{number:08x}",
            user_id=f"user-{rng.randrange(options.users)}",
            items=ITEMS,
            timestamp_ms=int(time.time() * 1000),
            rng=rng,
        )
        for number in range(int(options.rate * options.seconds))
    ]
    with EventLog(options.load_to, linger_ms=5, deadline_s=30) as log:
        began = time.monotonic()
        while (passed := time.monotonic() - began) < options.seconds:
            due = min(int(passed * options.rate), len(ready))
            for key, value in ready[sent:due]:
                log.send_raw(USER_EVENTS, key, value)
            sent = due
            time.sleep(TICK_S)
        log.flush()
    print(sent)


def _probe(
    stack: LocalStack, seconds: int, per_s: int, *, prefix: str, timeout_s: float = TIMEOUT_S
) -> list[float | None]:
    client = redis.Redis.from_url(stack.settings.redis.url)
    rng, waiting = random.Random(3), []
    with EventLog(stack.settings.kafka.bootstrap) as log, ThreadPoolExecutor(16) as pool:
        pace = threading.Event()
        for number in range(seconds * per_s):
            user_id = f"{prefix}-{number}"
            key, value = event(
                f"{prefix}-{number}",
                user_id=user_id,
                items=ITEMS,
                timestamp_ms=int(time.time() * 1000),
                rng=rng,
            )
            waiting.append(pool.submit(_time_to_redis, client, log, key, value, timeout_s))
            pace.wait(1 / per_s)
        return [one.result() for one in waiting]


def _time_to_redis(
    client: redis.Redis, log: EventLog, key: bytes, value: bytes, timeout_s: float
) -> float | None:
    began = time.perf_counter()
    log.send_raw(USER_EVENTS, key, value)
    while (passed := time.perf_counter() - began) < timeout_s:
        if client.exists(CONTEXT.of(key.decode())):
            return (time.perf_counter() - began) * 1000
        time.sleep(max(POLL_S, passed * 0.05))
    return None


if __name__ == "__main__":
    main()
