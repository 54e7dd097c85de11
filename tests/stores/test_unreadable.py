"""What lies in a store and can't be read counts as missing, or the answer is refused; no more."""

import json
import logging
from typing import Any

import numpy as np
import pytest
from pymilvus.grpc_gen.milvus_pb2 import SearchResults

from stores import neighbors, posteriors, rate_limits, vectors
from stores.errors import StoreUnreadable
from stores.feedback_memory import _text
from stores.user_keys import _visit
from stores.views import context_json, interaction_json, item_view, user_view
from tests.stores.records import interaction, user_snapshot

NAN = np.array([np.nan], "<f4").tobytes()


def context(**changed: Any) -> bytes:
    told = json.loads(context_json(user_snapshot("u1", 7)))
    return json.dumps(told | changed).encode()


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"[" * 3_000,
        b"5",
        context(version="7"),
        context(version=True),
        context(log_time_ms=10**30),
        context(timestamp_ms=1.5),
        context(session_id=5),
        context(session_state=[]),
        context(metadata={"personalization_consent": 0}),
        context(windows=5),
    ],
)
def test_a_context_of_another_form_is_of_nobody_known(
    stored: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert user_view("u1", context(), None, interactions=[]).known
    with caplog.at_level(logging.WARNING):
        view = user_view("u1", stored, None, interactions=[])
    assert (view.known, view.total_interactions) == (False, 0)
    assert "context of a user can't be read" in caplog.text


@pytest.mark.parametrize(
    ("member", "score"),
    [
        (b"{", 1.0),
        (b"[]", 1.0),
        (b'{"event_id": "e"}', 1.0),
        (b"\xff", 1.0),
        (interaction_json(interaction("e")).encode(), float("inf")),
        (interaction_json(interaction("e")).replace('"click"', "{}").encode(), 1.0),
    ],
)
def test_an_interaction_that_cant_be_read_hides_no_other(
    member: bytes, score: float, caplog: pytest.LogCaptureFixture
) -> None:
    good = interaction_json(interaction("good", item_id="i")).encode()
    with caplog.at_level(logging.WARNING):
        view = user_view("u1", None, None, interactions=[(member, score), (good, 5.0)])
    assert [one.event_id for one in view.recent] == ["good"]
    assert "an interaction of u1 can't be read" in caplog.text


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30])
def test_a_vector_with_no_length_near_1_counts_as_missing(
    number: float, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = np.zeros(512, "<f4")
    numbers[7] = number
    stored = (3).to_bytes(8, "little") + numbers.tobytes()
    with caplog.at_level(logging.WARNING):
        view = user_view("u1", None, stored, interactions=[])
    assert (view.embedding, view.embedding_version) == (None, 0)
    assert "vector of a user has no length near 1" in caplog.text


@pytest.mark.parametrize(
    "stored", [{b"version": b"x"}, {b"catalog": b"{"}, {b"catalog": b"5"}, {b"popularity": b"many"}]
)
def test_an_item_that_cant_be_read_counts_as_deleted(
    stored: dict[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        view = item_view("i", 5, stored)
    assert (view.deleted, view.changed_at_ms) == (True, 5)
    assert "item i can't be read" in caplog.text


@pytest.mark.parametrize(
    ("names", "scores"),
    [
        (b"{", NAN),
        (b"5", NAN),
        (b'["a"]', NAN),
        (b"[5]", np.ones(1, "<f4").tobytes()),
        (b'["a", "b"]', np.ones(1, "<f4").tobytes()),
        (b"[" * 3_000, b""),
    ],
)
def test_neighbours_that_cant_be_read_count_as_missing(
    names: bytes, scores: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert neighbors._view("i", [b"1", b"2", names, scores]) is None
    assert "neighbours of i can't be read" in caplog.text


def posterior(**changed: bytes) -> list[bytes | None]:
    told: dict[str, bytes | None] = dict.fromkeys(posteriors.READ, b"1")
    told.update(context_weights=None, variances=None)
    return list((told | changed).values())


@pytest.mark.parametrize(
    "stored",
    [
        *(posterior(alpha=value) for value in (b"nan", b"inf", b"0", b"-1", b"x", b"")),
        posterior(context_weights=NAN),
        posterior(context_weights=NAN * 64),
        posterior(variances=b"abc"),
    ],
)
def test_a_posterior_that_is_none_counts_as_missing(
    stored: list[bytes | None], caplog: pytest.LogCaptureFixture
) -> None:
    assert posteriors._view("bandit:i:s", posterior()) is not None
    with caplog.at_level(logging.WARNING):
        assert posteriors._view("bandit:i:s", stored) is None
    assert "bandit:i:s can't be read" in caplog.text


@pytest.mark.parametrize(
    "told", [None, 5, [], [1], [1, b"x"], [1, *[b"nan"] * 6], [1, *[b"1"] * 7]]
)
def test_limits_that_cant_be_read_are_no_answer(told: Any) -> None:
    with pytest.raises(StoreUnreadable, match="Redis gave an answer that can't be read"):
        rate_limits._counted(told)


def results(names: list[str], scores: list[float], topks: list[int]) -> Any:
    told = SearchResults().results
    told.ids.str_id.data.extend(names)
    told.scores.extend(scores)
    told.topks.extend(topks)
    return told


@pytest.mark.parametrize(
    ("names", "scores", "topks"),
    [
        (["a"], [], [1]),
        (["a"], [float("nan")], [1]),
        (["a"], [0.5], []),
        (["a"], [0.5], [1, 0]),
        (["a"], [0.5], [-1]),
    ],
)
def test_hits_that_nobody_asked_for_are_no_answer(
    names: list[str], scores: list[float], topks: list[int]
) -> None:
    assert vectors._hits(results(["a"], [0.5], [1]), of=1) == [[("a", 0.5)]]
    with pytest.raises(StoreUnreadable, match="Milvus gave an answer"):
        vectors._hits(results(names, scores, topks), of=1)


def test_what_names_nothing_names_none() -> None:
    assert [_visit(stored) for stored in (b"{", b"5", b"{}", b'{"session_id": 5}')] == [None] * 4
    assert _visit(b'{"session_id": "s"}') == "s"
    assert _text(b"\xff") == "\ufffd"
