import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from freshet import user_erasure
from freshet.__main__ import build
from freshet.user_erasure import BY_COMPACTION, Place
from serving import known_user
from settings import Settings
from stores.errors import LogUnavailable

KNOWN = {
    "user_id": "u1",
    "known": True,
    "as_of": "2027-01-15T08:00:00.000+00:00",
    "redis": {
        "context:u1": {"ttl_s": 60, "value": {"version": 3, "windows": {"5m": {"view": 1}}}},
        "interactions:u1": {"ttl_s": 9, "value": [{"item_id": "i1"}]},
    },
    "milvus": {"away": "no route"},
}


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def freshet(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["user", *arguments])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    answer = dict(KNOWN)

    class Lookup:
        async def known(self, user_id: str, *, now_ms: int) -> dict[str, Any]:
            assert (user_id, now_ms > 0) == ("u1", True)
            return answer

    @asynccontextmanager
    async def lookup_of(_: Settings) -> AsyncIterator[Lookup]:
        yield Lookup()

    monkeypatch.setattr(known_user, "lookup_of", lookup_of)
    return answer


def test_show_tells_key_by_key(told: dict[str, Any]) -> None:
    done = freshet("show", "u1")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "user u1 as of 2027-01-15T08:00:00.000+00:00",
        "context:u1 (for 60 s more)",
        "version 3",
        'windows {"5m": {"view": 1}}',
        "interactions:u1 (for 9 s more)",
        '{"item_id": "i1"}',
        "Milvus",
        "away no route",
    ]
    assert json.loads(freshet("show", "u1", "--json").stdout) == KNOWN


def test_show_of_an_unknown_user_ends_with_1(told: dict[str, Any]) -> None:
    told.update(known=False, redis={})
    done = freshet("show", "u1")
    assert (done.exit_code, "nothing is known of this user" in done.stdout) == (1, True)


def _forgets(monkeypatch: pytest.MonkeyPatch, *, left: int) -> None:
    async def count() -> int:
        return left

    async def forget(
        _: Settings, user_id: str, *, timeout_s: float, report: Callable[[int, int], None]
    ) -> list[Place]:
        assert (user_id, timeout_s) == ("u1", 5)
        report(2, 2)
        return [
            Place(name="Redis", unit="keys", count=count, before=4, left=left),
            Place(name="lake", unit="rows", count=count, later=BY_COMPACTION, before=9, left=9),
        ]

    monkeypatch.setattr(user_erasure, "forget", forget)


def test_forget_tells_place_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    _forgets(monkeypatch, left=0)
    done = freshet("forget", "u1", "--timeout", "5")
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "place found left",
        "Redis 4 keys 0",
        "lake 9 rows 9 goes with the next `freshet lake compact`",
    ]
    (redis, _) = json.loads(freshet("forget", "u1", "--timeout", "5", "--json").stdout)["places"]
    assert redis == {
        "name": "Redis",
        "unit": "keys",
        "before": 4,
        "left": 0,
        "later": "",
        "trouble": "",
    }


def test_forget_ends_with_1_where_something_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    _forgets(monkeypatch, left=1)
    assert freshet("forget", "u1", "--timeout", "5").exit_code == 1


@pytest.mark.parametrize(
    ("option", "granted", "said"),
    [("--grant", True, "u1: personalization granted"), ("--withdraw", False, "withdrawn")],
)
def test_consent_is_sent_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, option: str, *, granted: bool, said: str
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(user_erasure, "send", lambda _, event: sent.append(event.consent))

    async def until(_: Settings, __: str, *, granted: bool, timeout_s: float) -> bool:
        return granted in sent and timeout_s > 0

    monkeypatch.setattr(user_erasure, "until_consent", until)
    done = freshet("consent", "u1", option)
    assert (done.exit_code, said in done.stdout, sent) == (0, True, [granted])


def test_consent_that_is_not_in_force_in_time_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    async def until(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr(user_erasure, "send", lambda *_: None)
    monkeypatch.setattr(user_erasure, "until_consent", until)
    done = freshet("consent", "u1", "--grant", "--timeout", "2")
    assert (done.exit_code, "not in force after 2 s" in done.stdout) == (1, True)


def test_a_log_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object) -> None:
        raise LogUnavailable("no answer")

    monkeypatch.setattr(user_erasure, "send", send)
    done = freshet("consent", "u1", "--grant")
    assert (done.exit_code, "Kafka is not available: no answer" in done.output) == (1, True)


def test_consent_must_be_said() -> None:
    assert freshet("consent", "u1").exit_code == 2
