"""Hands jobs to a Flink cluster: for each line of JSON that comes in, one that answers.

All of them go through one JVM. Its start, and Python's, cost many times what a job does, and are
under way before the first line comes.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from settings import load_settings


def handed_over(name: str, configuration: Mapping[str, str]) -> str:
    """Give a job to the cluster that the configuration names; answers the job's id.

    It is back when the cluster has found the state to go on from, or raises why it hasn't.
    """
    env = environment(configuration)
    # One job's code may be broken; the others' is not imported with it.
    importlib.import_module(f"jobs.{name}").wire(env, load_settings())
    return str(env.execute_async(name).get_job_id())


def environment(configuration: Mapping[str, str]) -> StreamExecutionEnvironment:
    """An environment of its own for a job: the cluster's file of settings, and these after it."""
    jvm = get_gateway().jvm.org.apache.flink
    wanted = jvm.configuration.GlobalConfiguration.loadConfiguration()
    for key, value in configuration.items():
        wanted.setString(key, value)
    java = jvm.streaming.api.environment.StreamExecutionEnvironment(wanted)
    return StreamExecutionEnvironment(java)


def answer(asked: Mapping[str, Any]) -> dict[str, str]:
    """What became of a job: its id, or why there is none."""
    try:
        return {"job_id": handed_over(asked["job"], asked["configuration"])}
    except Exception:  # noqa: BLE001 (whatever a job's code raises is told to who asked for it)
        return {"error": traceback.format_exc()}


def own_output() -> TextIO:
    """Where answers go; what the JVM prints goes where errors do instead."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def main() -> None:
    """Answer until nobody asks any more."""
    answers = own_output()
    get_gateway()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
