"""A user is looked at, withdraws their consent, and is forgotten everywhere."""

import json
import urllib.request
from typing import Any

import pytest

from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from stack.local import LocalStack
from stores.event_log import EventLog
from tests.e2e.streams import eventually, now_ms, start_jobs

pytestmark = pytest.mark.e2e

USER = "looked-at"


def test_a_user_is_shown_and_forgotten(stack: LocalStack) -> None:
    start_jobs(stack)
    stack.up("writers")
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number in range(5):
            event = UserEvent(
                event_id=f"{USER}-{number}",
                user_id=USER,
                event_type="view",
                timestamp_ms=now_ms(),
                item_id="lamp",
                session_id="visit",
            )
            log.send(USER_EVENTS, USER, event)
    eventually(lambda: _version(stack), 5)
    told = _shown(stack)
    assert told["redis"][f"context:{USER}"]["value"]["windows"]["5m"]["counts"] == {"view": 5}
    assert "session:visit" in told["redis"]
    stack.freshet("user", "consent", USER, "--withdraw")
    done = stack.freshet("user", "forget", USER, "--json")
    places = {place["name"]: place for place in json.loads(done.stdout)["places"]}
    # Without consent little is kept.
    assert places["Redis"]["before"] >= 1
    assert {place["left"] for name, place in places.items() if name != "lake"} == {0}
    assert stack.freshet("user", "show", USER, check=False).returncode == 1


def test_the_operators_counters_are_on_a_page(stack: LocalStack) -> None:
    start_jobs(stack)
    first = stack.settings.flink.metrics_port

    def counters() -> bool:
        pages = [
            _page(first + number) for number in range(1, stack.settings.flink.taskmanagers + 1)
        ]
        wanted = ("accepted", "events", "python_ns", "state_bytes_written")
        prefix = "flink_taskmanager_job_task_operator_"
        return all(any(prefix + name in page for page in pages) for name in wanted)

    eventually(counters, expected=True)


def _page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read().decode())


def _shown(stack: LocalStack) -> Any:
    return json.loads(stack.freshet("user", "show", USER, "--json", check=False).stdout)


def _version(stack: LocalStack) -> Any:
    return _shown(stack)["redis"].get(f"context:{USER}", {}).get("value", {}).get("version", 0)
