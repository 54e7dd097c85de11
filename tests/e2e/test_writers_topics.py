"""`freshet topics` against a real Kafka."""

import subprocess
import sys

import pytest

from stack.local import LocalStack

pytestmark = pytest.mark.e2e


def test_topics_are_created_and_listed(stack: LocalStack) -> None:
    stack.freshet("topics", "create")
    assert stack.freshet("topics", "create").stdout == "all are there\n"
    listed = stack.freshet("topics", "list").stdout.splitlines()
    assert [line.split() for line in listed if line.startswith("user-events ")] == [
        ["user-events", "4", "of", "4", "partitions"]
    ]


def test_without_kafka_it_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "freshet", "topics", "list"],
        env={"FRESHET_KAFKA__EXTERNAL": "127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "error: Kafka is not available: no answer from 127.0.0.1:9 in 10 s; is it up, and is "
        "kafka.external right?"
    )
