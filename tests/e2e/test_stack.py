"""The shared stack, seen through the command."""

import json

import pytest

from stack.local import LocalStack

pytestmark = pytest.mark.e2e


def test_every_server_is_well_and_says_so(stack: LocalStack) -> None:
    found = json.loads(stack.freshet("stack", "status", "--json").stdout)
    states = {part["name"]: part["state"] for part in found}
    assert states == {
        **dict.fromkeys(["kafka", "valkey", "milvus", "triton", "flink"], "running"),
        **dict.fromkeys(["writers", "api"], "stopped"),
    }


def test_up_again_changes_nothing(stack: LocalStack) -> None:
    before = [stack.pid(name) for name in ("kafka", "valkey", "milvus", "triton", "jobmanager")]
    stack.freshet("stack", "up")
    after = [stack.pid(name) for name in ("kafka", "valkey", "milvus", "triton", "jobmanager")]
    assert after == before
