import json
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from typer.testing import CliRunner, Result

from freshet.__main__ import build
from schemas.codec import encode
from stores import traces
from stores.views import Vector
from tests.serving.evidence.answered import EAGER, Answered, elsewhere


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def answered(monkeypatch: pytest.MonkeyPatch) -> Answered:
    """An answer that was kept, and a store that has its records and the items' vectors."""
    made = Answered()
    await made.ask("warm", EAGER)

    class Store:
        def __init__(self, url: str, *, timeout_ms: int) -> None:
            assert url.startswith("redis://")
            assert timeout_ms > 0

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            return None

        async def answer(self, request_id: str) -> bytes | None:
            return await made.outside.traces.answer(request_id)

        async def ranking(self, key: str) -> bytes | None:
            return await made.outside.traces.ranking(key)

        async def vectors(self, item_ids: list[str]) -> dict[str, Vector]:
            known = made.recorded().vectors
            return {one: known[one] for one in item_ids if one in known}

    monkeypatch.setattr(traces, "TraceStore", Store)
    return made


def replay(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["answer", "replay", *arguments])


def test_the_same_bytes_are_said(answered: Answered) -> None:
    done = replay("r1")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert first == "answer r1 of /v1/personalize to warm: the same bytes"
    assert second.endswith("20 places, of user 7, embedding 5, model ranker:1, catalogue 150")


def test_the_body_can_be_printed_alone(answered: Answered) -> None:
    body = json.loads(replay("r1", "--body").stdout)
    places = [place.item_id for place in answered.recorded().answer.places]
    assert [one["item_id"] for one in body["items"]] == places


def test_as_json(answered: Answered) -> None:
    told = json.loads(replay("r1", "--json").stdout)
    assert (told["same_bytes"], told["differences"]) == (True, [])
    assert told["endpoint"] == "/v1/personalize"


def test_other_bytes_are_named_and_fail(answered: Answered) -> None:
    answered.service.catalog.apply([elsewhere(number) for number in range(150)], now_ms=1)
    done = replay("r1")
    assert done.exit_code == 1
    assert "other bytes than were sent" in done.stdout
    assert "has changed since" in done.stdout


def test_what_is_not_kept_says_why(answered: Answered) -> None:
    done = replay("r9")
    assert done.exit_code == 1
    assert "the trace of answer r9 is not kept: traces live for serving.traces_s" in done.stderr
    answered.outside.traces.rankings.clear()
    assert "the trace of ranking r1 is not kept" in replay("r1").stderr


def test_what_another_release_wrote_is_told(answered: Answered) -> None:
    kept = answered.outside.traces.answers["r1"]
    other = kept.answer[:2] + bytes(8) + kept.answer[10:]
    answered.outside.traces.answers["r1"] = replace(kept, answer=other)
    done = replay("r1")
    assert done.exit_code == 1
    assert "replay it with the release that wrote it" in done.stderr


def test_a_damaged_history_is_told(answered: Answered) -> None:
    damaged = replace(answered.recorded().answer, history=b"no history")
    kept = answered.outside.traces.answers["r1"]
    answered.outside.traces.answers["r1"] = replace(kept, answer=encode(damaged))
    done = replay("r1")
    assert done.exit_code == 1
    assert "the trace of answer r1 can't be read (corrupt: the history isn't" in done.stderr
