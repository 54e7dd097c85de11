"""What stands in the log at its usual level: no secret, and nobody's data."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
import structlog

from freshet.logs import configure
from serving.app import create_app
from serving.run import configure_logging
from tests.serving.callers_at_hand import (
    ADMIN_TOKEN,
    JWT_SECRET,
    bearer,
    every_kind,
    guarded,
    token,
)
from tests.serving.pretended import Outside

USER, ITEM, SESSION = "ada.lovelace@example.org", "an-item-of-hers", "a-visit-of-hers"
LIST = {"user_id": USER, "session_id": SESSION, "constraints": {"exclude_items": [ITEM]}}
DEED = {"user_id": USER, "feedback": [{"item_id": ITEM, "action": "click"}]}
WHY = {"user_id": USER, "item_id": ITEM}


@pytest.fixture
def settled() -> Iterator[None]:
    """Logging as the program sets it up, and as it was afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    # The client of this test has a log of its own.
    client = logging.getLogger("httpx")
    client.disabled = True
    yield
    client.disabled = False
    structlog.reset_defaults()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(settings=guarded(tmp_path))


async def everything(outside: Outside) -> list[int]:
    """Requests of every kind of caller, good and bad, with servers up, away, and with a fault."""
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    statuses = []
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for away in (False, True):
            for server in (outside.online, outside.vectors, outside.memory, outside.limits):
                server.away = away
            for headers in (*every_kind().values(), bearer(token(USER))):
                for path, body in (("personalize", LIST), ("feedback", DEED), ("explain", WHY)):
                    answer = await client.post(f"/v1/{path}", json=body, headers=headers)
                    statuses.append(answer.status_code)
                looked = await client.get(f"/v1/debug/users/{USER}", headers=headers)
                statuses.append(looked.status_code)
        wrong = {**LIST, "count": USER}
        admin = bearer(ADMIN_TOKEN)
        statuses.append(
            (await client.post("/v1/personalize", json=wrong, headers=admin)).status_code
        )
    return statuses


def secrets_of_all() -> list[str]:
    sent = [headers["Authorization"].split()[1] for headers in every_kind().values() if headers]
    of_keys = [one.partition("_")[2] for one in sent if one.startswith("fk_")]
    return [ADMIN_TOKEN, JWT_SECRET, "Bearer ", *sent, *of_keys]


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_no_secret_and_no_user_is_in_the_log(
    settled: None,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    log_format: Literal["text", "json"],
) -> None:
    configure(log_format)
    configure_logging()
    statuses = await everything(outside)
    assert {200, 202, 400, 401, 403} <= set(statuses)
    logged = capsys.readouterr().err
    assert "dependency is away" in logged
    for secret in (*secrets_of_all(), USER, ITEM, SESSION):
        assert secret not in logged


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_fault_is_logged_without_what_was_sent(
    settled: None,
    outside: Outside,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: Literal["text", "json"],
) -> None:
    configure(log_format)
    configure_logging()

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a fault of the program")

    monkeypatch.setattr("serving.pipeline.admit", broken)
    assert 500 in await everything(outside)
    logged = capsys.readouterr().err
    assert "a fault of the program" in logged
    for secret in (*secrets_of_all(), USER, ITEM, SESSION):
        assert secret not in logged
