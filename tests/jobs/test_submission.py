"""The program that hands jobs over, with its JVM and without a cluster."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from freshet.job_submission import JOBS
from stack.layout import ROOT

ENVIRONMENT = """
import json
from jobs.submission import environment
env = environment({"execution.target": "remote", "rest.port": "7", "parallelism.default": "3"})
told = env._j_stream_execution_environment.getConfiguration().toMap()
print(json.dumps([env.get_parallelism(), dict(told)]))
"""


def run(*arguments: str, said: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", JOBS)
def test_each_job_can_be_wired(name: str) -> None:
    job = importlib.import_module(f"jobs.{name}")
    assert name == job.JOB
    assert callable(job.wire)


def test_each_line_is_answered_and_nothing_else_is_printed() -> None:
    said = [json.dumps({"job": name, "configuration": {}}) for name in ("nowhere", "folding")]
    done = run("-m", "jobs.submission", said="\n".join(said))
    nowhere, folding = (json.loads(line)["error"] for line in done.stdout.splitlines())
    assert "ModuleNotFoundError: No module named 'jobs.nowhere'" in nowhere
    assert "AttributeError" in folding
    assert done.returncode == 0


def test_an_environment_has_the_clusters_settings_and_its_own() -> None:
    conf = ROOT / "flink-conf"
    done = run("-c", ENVIRONMENT, FLINK_CONF_DIR=str(conf))
    parallelism, told = json.loads(done.stdout.splitlines()[-1])
    assert parallelism == 3
    assert told["execution.target"] == "remote"
    assert told["rest.port"] == "7"
    assert told["execution.checkpointing.interval"] == "2 s"
