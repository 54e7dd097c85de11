"""What Flink makes of each job: planned by a real client, not run."""

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from settings import load_settings
from stack.jars import fetch_jars
from stack.layout import ROOT, Layout

PLAN = """
import sys
from pyflink.datastream import StreamExecutionEnvironment
from jobs import {job} as job
from jobs.kafka import KafkaLog
from schemas.topics import ITEM_SIGNALS, ITEMS, USER_EVENTS
from settings import Settings

env = StreamExecutionEnvironment.get_execution_environment()
env.add_jars(*sys.argv[1:])
log = KafkaLog(env, bootstrap="nowhere:9092", job="{job}")
job.build(source=log.source([{topics}]), sink=log.sink, settings=Settings())
print(env.get_execution_plan())
"""


@cache
def plan(job: str, topics: str) -> list[dict[str, Any]]:
    jars = (fetch_jars(Layout.of(load_settings()).cache) / "flink").glob("*.jar")
    done = subprocess.run(
        [sys.executable, "-c", PLAN.format(job=job, topics=topics), *(j.as_uri() for j in jars)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    nodes: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index("{") :])["nodes"]
    return nodes


@pytest.mark.parametrize(
    ("job", "topics"), [("user_state", "USER_EVENTS"), ("item_state", "ITEMS, ITEM_SIGNALS")]
)
def test_a_job_is_one_python_operator_behind_one_shuffle(job: str, topics: str) -> None:
    nodes = plan(job, topics)
    kinds = [node["type"] for node in nodes]
    assert kinds.count(job) == 1
    (python,) = [node for node in nodes if node["type"] == job]
    assert [one["ship_strategy"] for one in python["predecessors"]] == ["HASH"]
    others = [
        one["ship_strategy"]
        for node in nodes
        if node is not python
        for one in node.get("predecessors", [])
    ]
    assert set(others) == {"FORWARD"}
    assert sum("Writer" in kind and "absolute" in kind for kind in kinds) == 1
    assert sum("Writer" in kind and "deltas" in kind for kind in kinds) == 1
