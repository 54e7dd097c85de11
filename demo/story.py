"""What the show tells, chosen from the data by rule: a customer with a clear taste, and a theme.

The customer is the one whose purchases point most in one direction. The theme is the category
farthest from that direction of those that are not in the customer's list; so a second show, when
the first one's theme has come into the list, takes the next.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.catalog import CatalogItem, text_of
from demo.categories import OTHER
from demo.purchases import Purchase
from demo.service import Act
from domain.text import TextEncoder

Vectors = npt.NDArray[np.float32]

MIN_PURCHASES = 40
MIN_ORDERS = 4
MIN_ITEMS_OF_THEME = 8
CLICKED = 5
PUT_INTO_CART = 3


class StoryError(Exception):
    """The data tells no story; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Customer:
    """Whose list is shown: the favourites are categories with how often they were bought."""

    user_id: str
    purchases: int
    favourites: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Theme:
    """A category that is new to the list, and what the customer does with its items."""

    category: str
    acts: tuple[Act, ...]


class Shop:
    """The shop's items and sales, with directions."""

    def __init__(
        self, purchases: Sequence[Purchase], items: Sequence[CatalogItem], *, encoder: TextEncoder
    ) -> None:
        self._row = {item.item_id: row for row, item in enumerate(items)}
        self._items = items
        self._vectors = np.stack([encoder.encode(text_of(item)) for item in items])
        self._bought: defaultdict[str, list[int]] = defaultdict(list)
        orders: defaultdict[str, set[str]] = defaultdict(set)
        for purchase in purchases:
            self._bought[purchase.user_id].append(self._row[purchase.item_id])
            orders[purchase.user_id].add(purchase.order_id)
        self._orders = {user: len(of_user) for user, of_user in orders.items()}
        self._sold = Counter(purchase.item_id for purchase in purchases)

    def customer(self) -> Customer:
        """Choose the regular customer whose purchases have most in common."""
        regulars = [
            user
            for user, rows in sorted(self._bought.items())
            if len(rows) >= MIN_PURCHASES and self._orders[user] >= MIN_ORDERS
        ]
        if not regulars:
            raise StoryError(
                f"no user has {MIN_PURCHASES} purchases in {MIN_ORDERS} orders; "
                "use the history that ships with the project"
            )
        chosen = max(regulars, key=lambda user: float(np.linalg.norm(self._taste(user))))
        rows = self._bought[chosen]
        categories = Counter(self._items[row].category or OTHER for row in rows)
        return Customer(
            user_id=chosen, purchases=len(rows), favourites=tuple(categories.most_common(3))
        )

    def theme(self, user_id: str, *, shown: Container[str]) -> Theme:
        """Choose the category least like the user's taste among those not shown."""
        rows_of: defaultdict[str, list[int]] = defaultdict(list)
        for row, item in enumerate(self._items):
            rows_of[item.category or OTHER].append(row)
        taste = self._taste(user_id)
        distant = [
            (float(taste @ self._vectors[rows].mean(axis=0)), category)
            for category, rows in rows_of.items()
            if category not in shown and category != OTHER and len(rows) >= MIN_ITEMS_OF_THEME
        ]
        if not distant:
            raise StoryError("every category is in the list already; nothing new can be shown")
        category = min(distant)[1]
        return Theme(category=category, acts=self._acts(rows_of[category]))

    def _taste(self, user_id: str) -> Vectors:
        taste: Vectors = self._vectors[self._bought[user_id]].mean(axis=0)
        return taste

    def _acts(self, rows: Sequence[int]) -> tuple[Act, ...]:
        """Clicks on the best sold items, and the best of them into the cart."""
        ids = [self._items[row].item_id for row in rows]
        best = sorted(ids, key=lambda item_id: (-self._sold[item_id], item_id))[:CLICKED]
        clicks = [Act(action="click", item_id=item_id) for item_id in best]
        carts = [Act(action="add_to_cart", item_id=item_id) for item_id in best[:PUT_INTO_CART]]
        return (*clicks, *carts)
