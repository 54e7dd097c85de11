"""Jobs come back after a JobManager's death, and go on with new code from where the old ended."""

import json
import time
from collections import Counter

import pytest

from freshet.job_submission import JOBS
from schemas.topics import ITEM_SIGNALS, USER_EVENTS
from schemas.types import ItemSignal, UserEvent
from stack.local import LocalStack
from stores.event_log import EventLog
from tests.e2e.streams import (
    assert_counts_equal_recount,
    eventually,
    job_of,
    now_ms,
    records,
    rest,
    start_jobs,
)

pytestmark = pytest.mark.e2e


def send(stack: LocalStack, prefix: str, numbers: range) -> None:
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number in numbers:
            user_id = f"{prefix}{number % 7}"
            event = UserEvent(
                event_id=f"{prefix}{number}",
                user_id=user_id,
                event_type="view",
                timestamp_ms=now_ms(),
                item_id=f"{prefix}item-{number % 3}",
            )
            log.send(USER_EVENTS, user_id, event).result()


def signals(stack: LocalStack, prefix: str, since_ms: int) -> Counter[str]:
    found = records(stack, ITEM_SIGNALS, ItemSignal, since_ms=since_ms)
    return Counter(one.event_id for one in found if one.user_id.startswith(prefix))


def all_run(stack: LocalStack) -> dict[str, int]:
    """How many active jobs there are of each name whose tasks all run."""
    found = rest(stack, "/jobs/overview")["jobs"]
    running = [one for one in found if one["tasks"]["running"] == one["tasks"]["total"] > 0]
    return dict(Counter(one["name"] for one in running if one["state"] == "RUNNING"))


def test_a_killed_jobmanager_has_its_jobs_again(stack: LocalStack) -> None:
    start_jobs(stack)
    prefix, since_ms = "jmkill-", now_ms()
    before = {name: job_of(stack, name).job_id for name in JOBS}
    send(stack, prefix, range(200))
    time.sleep(3)
    send(stack, prefix, range(200, 260))
    began = time.monotonic()
    stack.kill("jobmanager")
    send(stack, prefix, range(260, 400))
    eventually(lambda: _jobs_or_none(stack), dict.fromkeys(JOBS, 1), within_s=120)
    print(f"jobs run again {time.monotonic() - began:.1f} s after the JobManager's death")
    assert all(job_of(stack, name).job_id != before[name] for name in JOBS)
    send(stack, prefix, range(400, 450))
    assert_counts_equal_recount(stack, prefix=prefix, since_ms=since_ms)
    once = Counter({f"{prefix}{number}": 1 for number in range(450)})
    eventually(lambda: signals(stack, prefix, since_ms), once)
    time.sleep(5)
    assert signals(stack, prefix, since_ms) == once
    assert all_run(stack) == dict.fromkeys(JOBS, 1)


def all_but(name: str) -> dict[str, int]:
    """What `all_run` says while one job is away."""
    return {other: 1 for other in JOBS if other != name}


def _jobs_or_none(stack: LocalStack) -> dict[str, int]:
    try:
        return all_run(stack)
    except OSError:
        return {}


def test_a_cancelled_job_stays_away(stack: LocalStack) -> None:
    start_jobs(stack)
    stack.freshet("job", "cancel", "item_state")
    stack.kill("jobmanager")
    eventually(lambda: _jobs_or_none(stack), all_but("item_state"), within_s=120)
    time.sleep(6)
    assert all_run(stack) == all_but("item_state")
    stack.freshet("job", "submit", "item_state")
    assert all_run(stack) == dict.fromkeys(JOBS, 1)


def test_a_savepoint_is_taken_and_the_job_goes_on(stack: LocalStack) -> None:
    start_jobs(stack)
    job_id = job_of(stack, "user_state").job_id
    done = stack.freshet("job", "savepoint", "user_state", "--json")
    told = json.loads(done.stdout)
    assert told["job"] == "user_state"
    assert "/user_state/savepoint-" in told["savepoint"]
    assert "savepoint complete after" in done.stderr
    assert job_of(stack, "user_state").job_id == job_id


def test_an_upgrade_goes_on_from_where_the_old_code_ended(stack: LocalStack) -> None:
    start_jobs(stack)
    prefix, since_ms = "upgrade-", now_ms()
    before = job_of(stack, "user_state").job_id
    send(stack, prefix, range(100))
    began = time.monotonic()
    done = stack.freshet("job", "upgrade", "user_state")
    print(f"upgraded in {time.monotonic() - began:.1f} s")
    assert "/user_state/stopped/savepoint-" in done.stdout
    send(stack, prefix, range(100, 150))
    assert job_of(stack, "user_state").job_id != before
    assert_counts_equal_recount(stack, prefix=prefix, since_ms=since_ms)
    once = Counter({f"{prefix}{number}": 1 for number in range(150)})
    eventually(lambda: signals(stack, prefix, since_ms), once)


def test_a_job_stopped_with_a_savepoint_goes_on_from_it(stack: LocalStack) -> None:
    start_jobs(stack)
    prefix, since_ms = "stopped-", now_ms()
    send(stack, prefix, range(30))
    path = stack.freshet("job", "stop", "user_state").stdout.strip()
    time.sleep(6)
    assert all_run(stack) == all_but("user_state")
    send(stack, prefix, range(30, 60))
    done = stack.freshet("job", "submit", "user_state")
    # Flink writes file:/path where Python writes file:///path.
    assert f"user_state: submitting, from file://{path.removeprefix('file:')}" in done.stdout
    assert_counts_equal_recount(stack, prefix=prefix, since_ms=since_ms)


def test_the_list_tells_of_checkpoints_and_rates(stack: LocalStack) -> None:
    start_jobs(stack)
    send(stack, "listed-", range(20))

    def known() -> dict[str, bool]:
        told = json.loads(stack.freshet("job", "list", "--json").stdout)
        running = {one["job"]["name"]: one for one in told if one["job"]["state"] == "RUNNING"}
        return {
            name: None not in (one["checkpoint_bytes"], one["read_per_s"], one["held_back"])
            and one["checkpoint_age_s"] < 30
            and one["wanted"]
            for name, one in running.items()
        }

    eventually(known, dict.fromkeys(JOBS, True), within_s=60)
    print(stack.freshet("job", "list").stdout)
