from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.types import ItemSnapshot, Record
from tests.stores.records import (
    bandit_posterior,
    deleted_item,
    embedding_update,
    interaction,
    item_engagement,
    item_event,
    item_neighbors,
    item_popularity,
    item_snapshot,
    unit,
    user_snapshot,
)
from writers.checks import problem_of

GOOD: list[Record] = [
    user_snapshot("u", 1),
    user_snapshot("ü" * 128, 1),
    embedding_update("u", 1),
    replace(embedding_update("u", 1), day_vector=bytes(1_024), session_vector=bytes(512)),
    replace(embedding_update("u", 1, unit(1, dim=8)), erased=True),
    item_snapshot("i", 1),
    item_snapshot("i", 1, vector=None, unified=None, catalog=None),
    deleted_item("i", 1),
    item_popularity("i", 1),
    item_engagement("i", 1, all_1h=2.0),
    item_neighbors("i", 1, j=0.5),
    bandit_posterior("i", 1),
    bandit_posterior("i", 1, weights=bytes(256), variances=bytes(256)),
]


@pytest.mark.parametrize("record", GOOD)
def test_what_the_jobs_emit_has_no_problem(record: Record) -> None:
    assert problem_of(record) is None


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (user_snapshot("", 1), "bad_id", "user_id has 0 bytes; 1 to 256 are allowed"),
        (embedding_update("ü" * 129, 1), "bad_id", "user_id has 258 bytes"),
        (item_snapshot("x" * 257, 1), "bad_id", "item_id has 257 bytes"),
        (item_popularity("x" * 257, 1), "bad_id", "item_id has 257 bytes"),
        (
            item_popularity("i", 1, popularity=float("inf")),
            "bad_number",
            "popularity is inf; a finite number",
        ),
        (item_popularity("i", 1, trending=float("nan")), "bad_number", "trending is nan"),
        (
            replace(embedding_update("u", 1), session_vector=bytes(8)),
            "bad_vector",
            "session_vector has 8 bytes; 256 float16 are 512",
        ),
        (
            embedding_update("u", 1, unit(1, dim=8)),
            "bad_vector",
            "embedding has 32 bytes; 512 float32 are 2048",
        ),
        (
            embedding_update("u", 1, np.full(512, np.nan, "<f4")),
            "bad_vector",
            "embedding holds numbers that are not finite",
        ),
        (bandit_posterior("", 1), "bad_id", "item_id has 0 bytes"),
        (bandit_posterior("i", 1, ""), "bad_id", "context_segment has 0 bytes"),
        (
            bandit_posterior("i", 1, alpha=0.0),
            "bad_number",
            "alpha is 0.0; a finite number above 0 is allowed",
        ),
        (bandit_posterior("i", 1, beta=float("inf")), "bad_number", "beta is inf"),
        (
            bandit_posterior("i", 1, weights=bytes(8)),
            "bad_vector",
            "weights has 8 bytes; 64 float32 are 256",
        ),
        (bandit_posterior("i", 1, variances=bytes(8)), "bad_vector", "variances has 8 bytes"),
        (interaction("e"), "unexpected_record", "Interaction is written to no store"),
    ],
)
def test_a_problem_has_a_name_and_says_what_was_seen(
    record: Record, reason: str, detail: str
) -> None:
    problem = problem_of(record)
    assert problem is not None
    assert problem.reason == reason
    assert detail in problem.detail


@pytest.mark.parametrize(
    ("field", "value", "reason", "detail"),
    [
        ("vector", b"1234", "bad_vector", "vector has 4 bytes; 512 float32 are 2048"),
        ("unified", b"1234", "bad_vector", "unified has 4 bytes; 1024 float32 are 4096"),
        ("catalog", item_event("i", price=float("-inf")), "bad_number", "price is -inf"),
    ],
)
def test_each_number_of_an_item_is_looked_at(
    field: str, value: Any, reason: str, detail: str
) -> None:
    item: ItemSnapshot = item_snapshot("i", 1, **{field: value})
    problem = problem_of(item)
    assert problem is not None
    assert problem.reason == reason
    assert detail in problem.detail
