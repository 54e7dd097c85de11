"""Living a log and reading it again come to the same, for every user, byte by byte."""

import json
from pathlib import Path

import pytest

from freshet.backfill_check import comparable
from freshet.backfill_sinks import last_file, states_file
from freshet.backfill_states import rows_of
from schemas.codec import decode
from schemas.topics import ITEMS, USER_EVENTS, USER_SNAPSHOTS
from schemas.types import ItemEvent, UserEvent, UserSnapshot
from stack.local import LocalStack
from stores.event_log import EventLog
from tests.e2e.streams import eventually, messages, now_ms, start_jobs

pytestmark = pytest.mark.e2e

PREFIX = "backfill-"
ITEMS_SOLD = 5
USERS = 12
TYPES = ("view", "click", "add_to_cart", "search", "dismiss", "purchase")


def test_a_backfill_says_the_same_as_the_living_jobs(stack: LocalStack, tmp_path: Path) -> None:
    start_jobs(stack)
    stack.up("writers")
    since_ms = now_ms()
    _send(stack)
    expected = {f"{PREFIX}{number}": 50 for number in range(USERS)}
    eventually(lambda: _totals(_lived(stack, since_ms)), expected, within_s=90)
    out = tmp_path / "out"
    done = stack.freshet("backfill", "--to", str(out), "--check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(rows_of(last_file(out, USER_SNAPSHOTS.name)))
    lived = _lived(stack, since_ms)
    assert {key: told[key] for key in lived} == lived
    assert json.loads(done.stdout.splitlines()[0])["keys"]["user_state"] >= USERS
    assert comparable(out) >= USERS
    states = {key for key, _ in rows_of(states_file(out, "user_state"))}
    assert states >= {key.encode() for key in expected}
    assert "0 different" in done.stdout
    _take_items_back(stack)


def _take_items_back(stack: LocalStack) -> None:
    """They have no vectors: other tests choose among what is popular, and want some."""
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number in range(ITEMS_SOLD):
            item_id = f"{PREFIX}item-{number}"
            gone = ItemEvent(item_id=item_id, operation="delete", updated_at_ms=now_ms())
            log.send(ITEMS, item_id, gone).result()


def _send(stack: LocalStack) -> None:
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number in range(ITEMS_SOLD):
            item = ItemEvent(item_id=f"{PREFIX}item-{number}", updated_at_ms=now_ms(), title="x")
            log.send(ITEMS, item.item_id, item).result()
        for number in range(USERS * 50):
            user_id = f"{PREFIX}{number % USERS}"
            event = UserEvent(
                event_id=f"{PREFIX}{number}",
                user_id=user_id,
                event_type=TYPES[number % len(TYPES)],  # type: ignore[arg-type]
                timestamp_ms=now_ms() - (number % 7) * 60_000,
                item_id=f"{PREFIX}item-{number % ITEMS_SOLD}",
            )
            log.send(USER_EVENTS, user_id, event)


def _lived(stack: LocalStack, since_ms: int) -> dict[bytes, bytes]:
    """The last snapshot of each of our users, as it stands in the log."""
    found = messages(stack, USER_SNAPSHOTS, since_ms=since_ms)
    return {
        one.key: one.value for one in found if one.key and one.value and b"backfill-" in one.key
    }


def _totals(lived: dict[bytes, bytes]) -> dict[str, int]:
    users = (decode(payload, UserSnapshot) for payload in lived.values())
    return {user.user_id: user.total_interactions for user in users}
