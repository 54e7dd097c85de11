"""The client against a small program in place of the one that has a JVM."""

import os
import sys
from collections.abc import Iterator

import pytest

from freshet.job_client import JobClient, reason
from stack.part import StackError

PROGRAM = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["job"] == "dies":
        sys.exit("java.lang.OutOfMemoryError: heap")
    refused = asked["job"] == "refused"
    print(json.dumps({"error": "java.lang.Error: no"} if refused else {
        "job_id": asked["configuration"]["rest.port"]}), flush=True)
"""


@pytest.fixture
def client() -> Iterator[JobClient]:
    with JobClient(environ=os.environ, command=(sys.executable, "-c", PROGRAM)) as client:
        yield client


def test_jobs_are_handed_over_one_after_the_other(client: JobClient) -> None:
    assert client.hand_over("a", {"rest.port": "1"}) == "1"
    assert client.hand_over("b", {"rest.port": "2"}) == "2"


def test_a_refusal_is_of_one_job(client: JobClient) -> None:
    with pytest.raises(StackError, match=r"^refused was not taken by Flink:\njava.lang.Error: no$"):
        client.hand_over("refused", {})
    assert client.hand_over("b", {"rest.port": "2"}) == "2"


def test_a_client_that_dies_says_what_it_said_last(client: JobClient) -> None:
    for _ in range(2):
        with pytest.raises(StackError, match=r"OutOfMemoryError: heap\n.*exit code 1$"):
            client.hand_over("dies", {})
    assert not client.lives


def test_a_client_ends_when_it_is_closed() -> None:
    client = JobClient(environ=os.environ, command=(sys.executable, "-c", PROGRAM))
    assert client.lives
    client.close()
    assert not client.lives


def test_what_a_client_says_went_wrong_is_told_without_frames() -> None:
    said = "INFO start\n\tat a.b(C.java)\njava.lang.Error: no route\n\tat d.e(F.java)\nbye\n"
    assert reason(said) == "java.lang.Error: no route"
    assert reason("first\n\nlast\n") == "first\nlast"
