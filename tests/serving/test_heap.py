import gc
from collections.abc import Iterator

import pytest

from serving.heap import THRESHOLDS, Heap, collect_seldom


@pytest.fixture(autouse=True)
def collector_as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_a_catalogue_brought_is_set_aside_once() -> None:
    items = 0
    heap = Heap(lambda: items)
    assert not heap.settle()
    items, catalogue = 1_000, [[number] for number in range(1_000)]
    before = gc.get_freeze_count()
    assert heap.settle()
    assert gc.get_freeze_count() - before > len(catalogue)
    assert not heap.settle()
    items = 1_050
    assert not heap.settle()
    items = 1_200
    assert heap.settle()


def test_the_collector_looks_less_often() -> None:
    collect_seldom()
    assert gc.get_threshold() == THRESHOLDS
