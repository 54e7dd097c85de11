"""Whether the vectors are worth having: on the shop's own history."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest

from demo.catalog import CatalogItem, catalog_of, read_words, text_of
from demo.purchases import Purchase, read_purchases
from domain.text import TextEncoder

Scores = npt.NDArray[np.float32]
Case = tuple[list[int], set[int]]

TOP = 20


@pytest.fixture(scope="module")
def purchases() -> list[Purchase]:
    return read_purchases()


@pytest.fixture(scope="module")
def items(purchases: list[Purchase]) -> list[CatalogItem]:
    return catalog_of(purchases)


@pytest.fixture(scope="module")
def vectors(items: list[CatalogItem]) -> Scores:
    encoder = TextEncoder(read_words())
    return np.stack([encoder.encode(text_of(item)) for item in items])


def last_orders(purchases: list[Purchase], row: Mapping[str, int]) -> list[Case]:
    """Of each user: what was bought before the last order, and the last order."""
    orders: defaultdict[str, dict[str, list[int]]] = defaultdict(dict)
    for purchase in purchases:
        orders[purchase.user_id].setdefault(purchase.order_id, []).append(row[purchase.item_id])
    last = [list(of_user.values()) for of_user in orders.values()]
    return [([r for order in lists[:-1] for r in order], set(lists[-1])) for lists in last]


def recall(cases: list[Case], scores: Callable[[list[int]], Scores]) -> float:
    found = []
    for before, after in cases:
        top = np.argpartition(-scores(before), TOP)[:TOP].tolist()
        found.append(len(after & set(top)) / min(TOP, len(after)))
    return float(np.mean(found))


def test_what_a_user_bought_predicts_the_next_order_better_than_popularity_does(
    purchases: list[Purchase], items: list[CatalogItem], vectors: Scores
) -> None:
    row = {item.item_id: at for at, item in enumerate(items)}
    cases = last_orders(purchases, row)
    sold = Counter(purchase.item_id for purchase in purchases)
    popularity = np.array([sold[item.item_id] for item in items], np.float32)

    by_text = recall(cases, lambda before: vectors @ vectors[before].mean(axis=0))
    by_popularity = recall(cases, lambda _: popularity)

    assert by_text > 2 * by_popularity


@pytest.mark.parametrize(
    ("title", "word"),
    [
        ("JUMBO BAG RED RETROSPOT", "BAG"),
        ("WHITE HANGING HEART T-LIGHT HOLDER", "HOLDER"),
        ("ALARM CLOCK BAKELIKE RED", "CLOCK"),
    ],
)
def test_the_nearest_items_are_of_the_same_kind(
    items: list[CatalogItem], vectors: Scores, title: str, word: str
) -> None:
    query = TextEncoder(read_words()).encode(title)
    nearest = np.argsort(-(vectors @ query))[:5]

    assert items[nearest[0]].title == title
    assert sum(word in items[at].title for at in nearest) >= 4
