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
from settings import Settings

env = StreamExecutionEnvironment.get_execution_environment()
env.add_jars(*sys.argv[1:])
log = KafkaLog(env, settings=Settings(), job="{job}")
job.build(source=log.source(job.TOPICS), sink=log.sink, settings=Settings())
print(env.get_execution_plan())
"""


@cache
def plan(job: str) -> dict[str, dict[str, Any]]:
    """The nodes by their name, and of each the names before it."""
    jars = (fetch_jars(Layout.of(load_settings()).cache) / "flink").glob("*.jar")
    done = subprocess.run(
        [sys.executable, "-c", PLAN.format(job=job), *(j.as_uri() for j in jars)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    nodes: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index("{") :])["nodes"]
    names = {node["id"]: node["type"] for node in nodes}
    return {
        node["type"]: {names[one["id"]]: one["ship_strategy"] for one in node["predecessors"]}
        if "predecessors" in node
        else {}
        for node in nodes
    }


@pytest.mark.parametrize("job", ["user_state", "item_state", "bandit_posteriors"])
def test_a_job_is_one_python_operator_behind_one_shuffle_and_one_grouping(job: str) -> None:
    before = plan(job)
    assert before["Source: messages"] == {}
    assert before["group"] == {"Source: messages": "HASH"}
    assert before[job] == {"group": "FORWARD"}
    assert before["ungroup"] == {job: "FORWARD"}
    others = {name: ways for name, ways in before.items() if name != "group"}
    assert {way for ways in others.values() for way in ways.values()} == {"FORWARD"}
    for sink in ("absolute", "deltas"):
        assert before[f"{sink}: Writer"] == {"ungroup": "FORWARD"}
