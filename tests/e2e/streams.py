"""What the tests of the streams share: jobs that run, and a recount of the log."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from domain.events import EventLimits, refusal
from domain.windows import WINDOWS, Counts, Windows
from freshet.flink_cluster import FlinkCluster, Job
from schemas.codec import DecodeError, decode
from schemas.topics import USER_EVENTS, USER_SNAPSHOTS, Topic
from schemas.types import Record, UserEvent, UserSnapshot
from stack.local import LocalStack
from stores.event_log import LogMessage, read

RecordT = TypeVar("RecordT", bound=Record)
T = TypeVar("T")


@dataclass
class Known:
    """What a plain count of the log knows of a user."""

    seen: set[str] = field(default_factory=set)
    events: list[UserEvent] = field(default_factory=list)

    def counts(self, now_ms: int) -> Counts:
        """Counts by the definition of a window, from all events."""
        return {
            window.name: dict(
                Counter(
                    event.event_type
                    for event in self.events
                    if event.timestamp_ms // window.bucket_ms
                    > now_ms // window.bucket_ms - window.buckets
                )
            )
            for window in WINDOWS
        }


def start_jobs(stack: LocalStack) -> None:
    """Have every job running."""
    stack.freshet("topics", "create")
    stack.freshet("job", "submit")


def job_of(stack: LocalStack, name: str) -> Job:
    """The active job of a name."""
    job = FlinkCluster(stack.settings.flink.rest_address).active(name)
    assert job is not None, f"{name} isn't active"
    return job


def taskmanager_of(stack: LocalStack, name: str) -> str:
    """The program that runs the operator of a job."""
    job = job_of(stack, name)
    vertices = rest(stack, f"/jobs/{job.job_id}")["vertices"]
    wanted = next(one["id"] for one in vertices if name in one["name"])
    found = rest(stack, f"/jobs/{job.job_id}/vertices/{wanted}/taskmanagers")["taskmanagers"]
    return str(found[0]["taskmanager-id"])


def restarts_of(stack: LocalStack, name: str) -> int:
    """How often Flink has started a job anew, as soon as its metrics are gathered."""
    path = f"/jobs/{job_of(stack, name).job_id}/metrics?get=numRestarts"
    eventually(lambda: bool(rest(stack, path)), expected=True)
    return int(rest(stack, path)[0]["value"])


def rest(stack: LocalStack, path: str) -> Any:
    """An answer of Flink's REST interface."""
    address = f"http://{stack.settings.flink.rest_address}{path}"
    with urllib.request.urlopen(address, timeout=10) as response:
        return json.load(response)


def messages(stack: LocalStack, topic: Topic, *, since_ms: int) -> Iterator[LogMessage]:
    """What a topic has taken since a time, as a reader of committed messages sees it."""
    return read(stack.settings.kafka.bootstrap, [topic], from_ms=since_ms)


def records(
    stack: LocalStack, topic: Topic, kind: type[RecordT], *, since_ms: int
) -> Iterator[RecordT]:
    """The records of a topic since a time."""
    return (message.record(kind) for message in messages(stack, topic, since_ms=since_ms))


def recount(stack: LocalStack, *, prefix: str, since_ms: int) -> dict[str, Known]:
    """The valid events of users whose id begins with `prefix`, each id once, read off the log."""
    events = stack.settings.events
    limits = EventLimits(max_age_ms=events.max_age_ms, max_ahead_ms=events.max_ahead_ms)
    users: dict[str, Known] = {}
    for message in messages(stack, USER_EVENTS, since_ms=since_ms):
        try:
            event = decode(message.value, UserEvent)
        except DecodeError:
            continue
        at_ms = message.position.log_time_ms
        refused = refusal(event, key=message.key, log_time_ms=at_ms, limits=limits)
        if refused is None and event.user_id.startswith(prefix):
            user = users.setdefault(event.user_id, Known())
            if event.event_id not in user.seen:
                user.seen.add(event.event_id)
                user.events.append(event)
    return users


def latest_snapshots(
    stack: LocalStack, users: Collection[str], *, since_ms: int
) -> dict[str, UserSnapshot]:
    """The newest snapshot of each user."""
    newest: dict[str, UserSnapshot] = {}
    for snapshot in records(stack, USER_SNAPSHOTS, UserSnapshot, since_ms=since_ms):
        if snapshot.user_id in users:
            known = newest.get(snapshot.user_id)
            if known is None or snapshot.version > known.version:
                newest[snapshot.user_id] = snapshot
    return newest


def assert_counts_equal_recount(stack: LocalStack, *, prefix: str, since_ms: int) -> None:
    """Each user's totals and windows are what the log says, as soon as the job has caught up."""
    users = recount(stack, prefix=prefix, since_ms=since_ms)
    totals = {user_id: len(user.events) for user_id, user in users.items()}

    def told() -> dict[str, int]:
        found = latest_snapshots(stack, totals, since_ms=since_ms)
        return {user_id: one.total_interactions for user_id, one in found.items()}

    eventually(told, totals)
    for user_id, snapshot in latest_snapshots(stack, totals, since_ms=since_ms).items():
        now_ms = snapshot.timestamp_ms + 90_000
        assert snapshot.version == snapshot.total_interactions
        assert Windows.from_bytes(snapshot.windows).counts(now_ms) == users[user_id].counts(now_ms)


def eventually(observe: Callable[[], T], expected: T, *, within_s: float = 60) -> None:
    """Wait until what is observed is what is expected; else fail with their difference."""
    until = time.monotonic() + within_s
    while (seen := observe()) != expected:
        if time.monotonic() > until:
            assert seen == expected
        time.sleep(0.3)


def now_ms() -> int:
    """The time by this machine's clock."""
    return time.time_ns() // 1_000_000
