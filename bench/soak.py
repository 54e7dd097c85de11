"""Hours of steady load: is memory flat, and state bounded?

Samples the memory of every process, the size of the jobs' states and how far jobs and writers are
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
from prometheus_client.parser import text_string_to_metric_families

from bench.events import item_vectors, store_items
from bench.result import save
from bench.visits import ITEMS, Load
from freshet.flink_cluster import FlinkCluster
from freshet.job_insight import insight
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
    parser.add_argument("--rate", type=float, default=60.0, help="events/s")
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
    settings = stack.settings
    jobs, writers = _jobs(settings.flink.rest_address), _writers(settings.writers.metrics_port)
    return {**memory, **jobs, **writers}


def _memory_mib(pid: int) -> float:
    """Of a process and what it has started."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    return round(sum(one.memory_info().rss for one in family) / 2**20, 1)


def _jobs(rest: str) -> Sample:
    """How big each job's last checkpoint is, and how much of the log it has yet to read."""
    told: Sample = {}
    cluster = FlinkCluster(rest)
    for job in cluster.jobs():
        now = insight(cluster, job, wanted=True, now_ms=int(time.time() * 1000))
        if now.checkpoint_bytes is not None:
            told[f"{job.name}_state_mib"] = round(now.checkpoint_bytes / 2**20, 2)
        if now.behind is not None:
            told[f"{job.name}_behind"] = now.behind
    return told


def _writers(metrics_port: int) -> Sample:
    """How many messages each store's writer has yet to read."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics") as response:
        page = response.read().decode()
    waiting: Sample = {}
    for family in text_string_to_metric_families(page):
        if family.name == "freshet_writers_lag":
            for sample in family.samples:
                name = f"{sample.labels['store']}_behind"
                waiting[name] = waiting.get(name, 0.0) + sample.value
    return waiting


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
