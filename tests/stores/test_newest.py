"""Which of several records stands."""

from operator import attrgetter

import pytest

from stores.newest import newer, newest
from tests.stores.records import item_neighbors


@pytest.mark.parametrize(
    ("known", "found", "chosen"),
    [
        ((1, 10), (2, 20), 1),
        ((2, 20), (1, 10), 0),
        ((2, 20), (1, 20), 0),
        ((2, 20), (1, 21), 1),
        ((1, 20), (1, 20), 1),
        ((1, 20), (2, 10), 1),
    ],
    ids=["newer", "older", "same time", "counts anew", "again", "version before time"],
)
def test_the_version_decides_unless_a_job_counts_anew(
    known: tuple[int, int], found: tuple[int, int], chosen: int
) -> None:
    records = [item_neighbors("i1", version) for version, _ in (known, found)]
    for record, (_, at_ms) in zip(records, (known, found), strict=True):
        object.__setattr__(record, "log_time_ms", at_ms)
    assert newer(*records) is records[chosen]
    assert newer(None, records[1]) is records[1]


def test_each_key_has_its_newest() -> None:
    told = [item_neighbors(name, version) for name, version in (("a", 1), ("b", 2), ("a", 3))]
    assert newest(told, attrgetter("item_id")) == {"a": told[2], "b": told[1]}
