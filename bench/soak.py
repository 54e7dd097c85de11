"""Hours of steady load: is memory flat, and state bounded?

Samples the memory of every process, the size of the jobs' states and how far the writers are
behind. Users are a fixed crowd, so what still grows after the first third is a leak.
"""

import argparse
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import mean

import psutil

from bench.events import item_vectors, store_items
from bench.result import save
from bench.visits import ITEMS, Load
from freshet.flink_cluster import FlinkCluster
from settings import Settings, load_settings
from stack.local import LocalStack

SERVERS = ("kafka", "valkey", "milvus", "flink")
SERVICES = ("writers", "jobs")
PROGRAMS = ("taskmanager-1", "taskmanager-2", "jobmanager", "writers", "kafka", "valkey", "milvus")

Sample = dict[str, float]


def main() -> None:
    """Load, sample, print the drift, keep all samples."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="freshet-soak-") as directory:
        base = Settings(cache_dir=load_settings().cache_dir)
        stack = LocalStack.beside(base, data_dir=Path(directory))
        try:
            samples, sent = _run(stack, options)
        finally:
            stack.down()
    drift = _drift(samples)
    for name, (early, late) in drift.items():
        print(f"{name:<28} {early:12,.1f} {late:12,.1f}")
    figures = {**vars(options), "sent": sent, "early_and_late": drift, "samples": samples}
    print(f"kept in {save('soak', figures)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3_600)
    parser.add_argument("--rate", type=float, default=200.0, help="events/s")
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--every-s", type=int, default=30)
    return parser.parse_args()


def _run(stack: LocalStack, options: argparse.Namespace) -> tuple[list[Sample], int]:
    stack.up(*SERVERS)
    stack.freshet("topics", "create")
    store_items(stack.settings.redis.url, item_vectors(ITEMS))
    stack.freshet("job", "submit")
    stack.up(*SERVICES)
    load = Load(
        stack.settings.kafka.bootstrap, rate=options.rate, users=options.users, seed=options.every_s
    )
    load.start()
    samples, began = [], time.monotonic()
    while (passed := time.monotonic() - began) < options.seconds:
        time.sleep(options.every_s)
        samples.append({"at_s": round(passed + options.every_s), **_sample(stack)})
        print(json.dumps(samples[-1]), flush=True)
    return samples, load.stop()


def _sample(stack: LocalStack) -> Sample:
    memory = {f"{name}_mib": _memory_mib(stack.pid(name)) for name in PROGRAMS}
    return {**memory, **_state_mib(stack.settings.flink.rest_address)}


def _memory_mib(pid: int) -> float:
    """Of a process and what it has started."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return round(sum(one.memory_info().rss for one in family) / 2**20, 1)


def _state_mib(rest: str) -> Sample:
    sizes = {}
    for job in FlinkCluster(rest).jobs():
        with urllib.request.urlopen(f"http://{rest}/jobs/{job.job_id}/checkpoints") as response:
            latest = json.load(response)["latest"]["completed"]
        if latest:
            sizes[f"{job.name}_state_mib"] = round(int(latest["state_size"]) / 2**20, 2)
    return sizes


def _drift(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """The mean of the second and of the last third; the first is for warming up."""
    third = max(1, len(samples) // 3)
    middle, last = samples[third : 2 * third] or samples, samples[-third:]
    names = [name for name in samples[-1] if name != "at_s"]
    return {
        name: (mean(one.get(name, 0.0) for one in middle), mean(one[name] for one in last))
        for name in names
    }


if __name__ == "__main__":
    main()
