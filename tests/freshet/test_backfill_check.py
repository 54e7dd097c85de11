"""What a backfill came to, held against what Redis has."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from freshet import backfill_check
from freshet.backfill_check import Compared, comparable, compare
from freshet.backfill_sinks import LastMessages
from operators.fold import Outgoing
from schemas.codec import encode
from schemas.redis_keys import BANDIT, CONTEXT, EMBEDDING, ITEM
from schemas.topics import BANDIT_POSTERIORS, EMBEDDING_UPDATES, ITEM_POPULARITY, USER_SNAPSHOTS
from settings import Settings
from stores.views import context_json, embedding_bytes
from tests.stores.records import (
    bandit_posterior,
    embedding_update,
    item_popularity,
    user_snapshot,
)
from writers.described import described

USER = user_snapshot("u1", 3)
VECTOR = embedding_update("u1", 3)
ITEM_MOVED = replace(item_popularity("i1", 7), popularity=0.1 + 0.2, total_events=7)
POSTERIOR = replace(bandit_posterior("i1", 5, "mobile"), alpha=2.5, beta=4.0)
POSTERIOR_KEY = BANDIT.of("i1", "mobile")


class Redis:
    """As much of a server as is asked: keys with bytes, and with hashes."""

    def __init__(self, there: dict[str, Any]) -> None:
        self._there = there
        self._asked: list[tuple[str, ...]] = []

    @contextmanager
    def pipeline(self, *, transaction: bool) -> Any:
        assert not transaction
        yield self

    def execute_command(self, *command: str) -> None:
        self._asked.append(command)

    def execute(self) -> list[Any]:
        asked, self._asked = self._asked, []
        return [self._answer(*command) for command in asked]

    def _answer(self, name: str, key: str, *fields: str) -> Any:
        if name == "GET":
            return self._there.get(key)
        return [self._there.get(key, {}).get(one) for one in fields]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    told = (
        (USER_SNAPSHOTS, USER),
        (EMBEDDING_UPDATES, VECTOR),
        (ITEM_POPULARITY, ITEM_MOVED),
        (BANDIT_POSTERIORS, POSTERIOR),
    )
    with LastMessages(tmp_path) as last:
        for topic, record in told:
            last.tell(Outgoing(topic.name, b"key", encode(record)), 5)
    return tmp_path


def stored() -> dict[str, Any]:
    """What the writers write of it; the sum was made in another order."""
    beside = described(USER).context if USER.consent else None
    return {
        CONTEXT.of("u1"): context_json(USER, beside).encode(),
        EMBEDDING.of("u1"): embedding_bytes(VECTOR.embedding.vector, VECTOR.embedding.version),
        ITEM.of("i1"): {
            "popularity": b"0.3",
            "popularity_at_ms": str(ITEM_MOVED.popularity_at_ms).encode(),
            "total_events": b"7",
        },
        POSTERIOR_KEY: {"alpha": b"2.5", "beta": b"4.0", "version": b"5"},
    }


@pytest.fixture
def held(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Compared]:
    def hold(there: dict[str, Any]) -> Compared:
        monkeypatch.setattr(backfill_check, "connect", lambda _: Redis(there))
        told: list[int] = []
        compared = compare(Settings(), directory, report=told.append)
        assert told == [4] == [comparable(directory)]
        return compared

    return hold


def test_users_items_and_posteriors_are_compared(
    held: Callable[[dict[str, Any]], Compared],
) -> None:
    assert held(stored()) == Compared(same=4)
    assert held({}) == Compared(absent=4)


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [
        (ITEM.of("i1"), "total_events", b"8"),
        (ITEM.of("i1"), "total_events", b"7.5"),
        (ITEM.of("i1"), "total_events", None),
        (ITEM.of("i1"), "popularity", b"0.30001"),
        (ITEM.of("i1"), "popularity_at_ms", b"1"),
        (POSTERIOR_KEY, "alpha", b"2.6"),
        (POSTERIOR_KEY, "beta", b"4.1"),
        (POSTERIOR_KEY, "version", b"4"),
    ],
)
def test_a_number_that_differs_names_its_key(
    held: Callable[[dict[str, Any]], Compared], key: str, field: str, value: bytes | None
) -> None:
    there = stored()
    there[key] = {**there[key], field: value}
    assert held(there) == Compared(same=3, different=[key])


def test_a_vector_that_differs_names_its_key(held: Callable[[dict[str, Any]], Compared]) -> None:
    there = {**stored(), EMBEDDING.of("u1"): b"other"}
    assert held(there) == Compared(same=3, different=[EMBEDDING.of("u1")])
