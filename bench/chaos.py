"""Kills every server at random while events flow, then counts the log again and compares.

What is compared with an independent recount: each user's events in Redis, each item's events, each
posterior's alpha and beta, each user's vector in Milvus, and each row of the lake. Zero lost and
zero doubled is the only good end; anything else ends with exit code 1.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.events import item_vectors, store_items
from bench.recount import Recount, Truth, differences
from bench.result import save
from bench.visits import ITEMS, Load
from settings import Settings, load_settings
from stack.local import LocalStack

SERVERS = ("kafka", "valkey", "milvus", "flink")
SERVICES = ("writers", "jobs")
VICTIMS = ("taskmanager-1", "jobmanager", "kafka", "valkey", "milvus")
WINDOW_S = 20
QUIET_S = 15
SETTLE_S = 480
POLL_S = 3.0


def main() -> None:
    """Load, kill, recount; keep what was found."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-chaos-") as directory:
        stack = LocalStack.beside(_settings(), data_dir=options.keep or Path(directory))
        try:
            figures = _run(stack, options)
        finally:
            stack.down()
    print(f"kept in {save('chaos', {**figures, **vars(options), 'keep': None})}")
    if figures["differences"]:
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.chaos", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="how long events flow")
    parser.add_argument("--rate", type=float, default=100.0, help="events/s")
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--kills-each", type=int, default=2, help="kills of each server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the stack's data in this directory")
    return parser.parse_args()


def _settings() -> Settings:
    base = Settings(cache_dir=load_settings().cache_dir)
    # When Kafka is back, what has waited for it is logged within a second or two; by the rule of
    # pending answers some would close others early, and the recount knows nothing of that rule.
    awaited = {"attribution_window_s": WINDOW_S, "pending_requests": 64}
    streams = base.streams.model_copy(update=awaited)
    return base.model_copy(update={"streams": streams})


def _run(stack: LocalStack, options: argparse.Namespace) -> dict[str, object]:
    stack.up(*SERVERS)
    stack.freshet("topics", "create")
    store_items(stack.settings.redis.url, item_vectors(ITEMS))
    stack.freshet("job", "submit")
    stack.up(*SERVICES)
    bootstrap = stack.settings.kafka.bootstrap
    load = Load(bootstrap, rate=options.rate, users=options.users, seed=options.seed)
    killer = threading.Thread(target=_kill, args=(stack, options), daemon=True)
    load.start()
    killer.start()
    time.sleep(options.seconds)
    killer.join()
    sent = load.stop()
    print(f"{sent} messages were taken; settling", flush=True)
    time.sleep(WINDOW_S + QUIET_S)
    truth, found = _settled(stack)
    return {**truth.sizes(), "messages_sent": sent, "differences": found}


def _kill(stack: LocalStack, options: argparse.Namespace) -> None:
    """Each victim so many times, at random, the last with time to come back before the end."""
    rng = random.Random(options.seed)
    last_s = options.seconds * 0.9
    plan = sorted(
        (rng.uniform(10, last_s), victim) for victim in VICTIMS for _ in range(options.kills_each)
    )
    began = time.monotonic()
    for at_s, victim in plan:
        time.sleep(max(0.0, at_s - (time.monotonic() - began)))
        try:
            pid = stack.kill(victim)
        except ProcessLookupError:
            print(f"{at_s:6.1f} s  {victim} was down already", flush=True)
        else:
            print(f"{at_s:6.1f} s  kill -9 {victim} ({pid})", flush=True)


def _settled(stack: LocalStack) -> tuple[Truth, dict[str, list[str]]]:
    """Compare until all is equal or time is up; what differs then is the finding."""
    recount = Recount(stack.settings)
    until = time.monotonic() + SETTLE_S
    while True:
        truth = recount.truth()
        found = differences(truth, recount.kept())
        if not found or time.monotonic() > until:
            break
        print({name: len(lines) for name, lines in found.items()}, flush=True)
        time.sleep(POLL_S)
    for name, lines in found.items():
        print(f"{name}: {len(lines)} differ", *lines[:5], sep="\n  ")
    print("nothing lost, nothing doubled" if not found else "NOT EQUAL", truth.sizes(), flush=True)
    return truth, found


if __name__ == "__main__":
    main()
