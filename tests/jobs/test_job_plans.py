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
def plan(job: str, program: str = PLAN) -> dict[str, dict[str, Any]]:
    """The nodes by their name, and of each the names before it."""
    jars = (fetch_jars(Layout.of(load_settings()).cache) / "flink").glob("*.jar")
    done = subprocess.run(
        [sys.executable, "-c", program.replace("{job}", job), *(j.as_uri() for j in jars)],
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


LAKE_PLAN = """
import sys
from pathlib import Path
from pyflink.datastream import StreamExecutionEnvironment
from jobs import interaction_lake as job
from jobs.kafka import KafkaLog
from settings import Settings

env = StreamExecutionEnvironment.get_execution_environment()
env.add_jars(*sys.argv[1:])
log = KafkaLog(env, settings=Settings(), job=job.JOB)
groups = job.grouped(log.messages(job.TOPICS, buckets=1), settings=Settings())
job.build(source=groups, sink=job.sink_to(Path("/lake")), settings=Settings())
print(env.get_execution_plan())
"""


@pytest.mark.parametrize("job", ["user_state", "item_state", "bandit_posteriors"])
def test_a_job_is_one_python_operator_behind_one_shuffle_and_one_grouping(job: str) -> None:
    before = plan(job)
    assert before["Source: messages"] == {}
    assert before["no ticks"] == {"Source: messages": "FORWARD"}
    assert before["group"] == {"no ticks": "HASH"}
    assert before[job] == {"group": "FORWARD"}
    assert before["ungroup"] == {job: "FORWARD"}
    others = {name: ways for name, ways in before.items() if name != "group"}
    assert {way for ways in others.values() for way in ways.values()} == {"FORWARD"}
    for sink in ("absolute", "deltas"):
        assert before[f"{sink}: Writer"] == {"ungroup": "FORWARD"}


def test_the_lake_is_filled_without_a_shuffle() -> None:
    before = plan("interaction_lake", LAKE_PLAN)
    assert before["Source: messages"] == {}
    assert before["interaction_lake"] == {"filled": "FORWARD"}
    assert before["lake: Writer"] == {"interaction_lake": "FORWARD"}
    assert before["lake: Committer"] == {"lake: Writer": "FORWARD"}
    assert {way for ways in before.values() for way in ways.values()} == {"FORWARD"}
