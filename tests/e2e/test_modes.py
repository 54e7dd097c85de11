"""The job of users in either mode of PyFlink, by configuration: messages, states and waking."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from freshet.flink_cluster import FlinkCluster
from freshet.job_submission import environment_of
from schemas.topics import BANDIT_UPDATES, PERSONALIZATION_RESULTS, USER_EVENTS
from schemas.types import BanditUpdate, Impression, ShownItem, UserEvent
from stack import flink
from stack.layout import ROOT
from stack.local import LocalStack
from stores.event_log import EventLog
from tests.e2e.streams import (
    assert_counts_equal_recount,
    eventually,
    now_ms,
    records,
    recount,
    start_jobs,
)

pytestmark = pytest.mark.e2e

WINDOW_S = 5


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_messages_are_counted_and_users_woken(stack: LocalStack, mode: str) -> None:
    start_jobs(stack)
    prefix = f"{mode}-"
    since_ms = now_ms()
    with _in_mode(stack, mode, since_ms):
        _show(stack, f"{prefix}0", since_ms)
        _send(stack, prefix, since_ms)
        users = recount(stack, prefix=prefix, since_ms=since_ms)
        assert sum(len(user.events) for user in users.values()) == 1_000
        assert_counts_equal_recount(stack, prefix=prefix, since_ms=since_ms)

        def rewards() -> list[float]:
            found = records(stack, BANDIT_UPDATES, BanditUpdate, since_ms=since_ms)
            return [one.reward for one in found if one.user_id == f"{prefix}0"]

        eventually(rewards, [0.0])


def _show(stack: LocalStack, user_id: str, at_ms: int) -> None:
    shown = Impression(
        request_id=f"request-{user_id}",
        user_id=user_id,
        timestamp_ms=at_ms,
        context_segment="mobile_de_day",
        items=(ShownItem(item_id="modes-i1", rank=1, score=0.5, source="content"),),
    )
    with EventLog(stack.settings.kafka.bootstrap) as log:
        log.send(PERSONALIZATION_RESULTS, user_id, shown)


def _send(stack: LocalStack, prefix: str, at_ms: int) -> None:
    rng = random.Random(2)
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number in range(1_000):
            user_id = f"{prefix}{rng.randrange(40)}"
            event = UserEvent(
                event_id=f"{prefix}{number}",
                user_id=user_id,
                event_type="view",
                timestamp_ms=at_ms - rng.randrange(100_000),
            )
            log.send(USER_EVENTS, user_id, event)


@contextmanager
def _in_mode(stack: LocalStack, mode: str, since_ms: int) -> Iterator[None]:
    """The job of users in a mode, in place of the other, which comes back afterwards.

    It begins at a time, so that it need not live through all that other tests have logged.
    """
    stack.freshet("job", "cancel", "user_state")
    settings = stack.settings
    streams = {
        "FRESHET_STREAMS__ATTRIBUTION_WINDOW_S": str(WINDOW_S),
        "FRESHET_STREAMS__START_MS": str(since_ms),
    }
    options = ("--detached", f"-Dpython.execution-mode={mode}")
    subprocess.run(
        flink.client_command("run", *options, "--python", str(ROOT / "jobs" / "user_state.py")),
        env={
            **os.environ,
            **flink.client_environment(settings),
            **environment_of(settings),
            **streams,
        },
        check=True,
        capture_output=True,
    )
    cluster = FlinkCluster(settings.flink.rest_address)
    try:
        eventually(lambda: _runs(cluster), expected=True, within_s=120)
        yield
    finally:
        stack.freshet("job", "cancel", "user_state")
        stack.freshet("job", "submit", "user_state")


def _runs(cluster: FlinkCluster) -> bool:
    job = cluster.active("user_state")
    return job is not None and job.is_running
