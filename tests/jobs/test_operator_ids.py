"""Ids of operators outlive releases: state is found by them, so a renamed one loses its state.

Where one is to go, add `--allow-lost-state` to the upgrade, and change the list here.
"""

import json
import os
import subprocess
import sys

import pytest

from settings import load_settings
from stack.jars import fetch_jars
from stack.layout import ROOT, Layout
from tests.jobs.test_job_plans import LAKE_PLAN, PLAN

SINKS = {
    "absolute: Writer": "absolute",
    "absolute: Committer": "Sink Committer: absolute",
    "deltas: Writer": "deltas",
    "deltas: Committer": "Sink Committer: deltas",
}
FOLDED = {
    "Source: messages": "messages",
    "no ticks": "no ticks",
    "group": "group",
    "ungroup": "ungroup",
    **SINKS,
}
IDS: dict[str, dict[str, str]] = {
    "user_state": {**FOLDED, "user_state": "user_state"},
    "item_state": {**FOLDED, "item_state": "item_state"},
    "bandit_posteriors": {**FOLDED, "bandit_posteriors": "bandit_posteriors"},
}
LAKE_IDS = {
    **{name: name for name in ("group", "bytes", "filled", "interaction_lake")},
    "Source: messages": "messages",
    "no ticks": "no ticks",
    "lake: Writer": "lake",
    "lake: Committer": "Sink Committer: lake",
}
SHOWN = "print(env.get_execution_plan())"
TELL = """
import json
nodes = env._j_stream_execution_environment.getStreamGraph(False).getStreamNodes().toArray()
print(json.dumps({node.getOperatorName(): node.getTransformationUID() for node in nodes}))
"""


def ids(job: str, program: str) -> dict[str, str]:
    """The id of each operator of a job, by its name, as a real client plans it."""
    assert SHOWN in program
    jars = (fetch_jars(Layout.of(load_settings()).cache) / "flink").glob("*.jar")
    code = program.replace("{job}", job).replace(SHOWN, TELL)
    done = subprocess.run(
        [sys.executable, "-c", code, *(jar.as_uri() for jar in jars)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    found: dict[str, str] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


@pytest.mark.parametrize("job", IDS)
def test_no_operator_has_another_id_than_before(job: str) -> None:
    assert ids(job, PLAN) == IDS[job]


def test_no_operator_of_the_lake_has_another_id_than_before() -> None:
    assert ids("interaction_lake", LAKE_PLAN) == LAKE_IDS
