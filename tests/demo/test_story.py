from dataclasses import replace

import pytest

from demo.catalog import CatalogItem, catalog_of, read_words
from demo.purchases import Purchase, read_purchases
from demo.story import MIN_ITEMS_OF_THEME, Shop, StoryError
from domain.text import TextEncoder

BAGS = [f"JUMBO BAG NUMBER{n}" for n in range(10)]
SIGNS = [f"METAL SIGN WORD{n}" for n in range(MIN_ITEMS_OF_THEME)]
MUGS = [f"COFFEE MUG COLOUR{n}" for n in range(MIN_ITEMS_OF_THEME)]
FEW = ["TEA TOWEL", "LIP GLOSS"]
TITLES = [*BAGS, *SIGNS, *MUGS, *FEW]


def bought(user: str, title: str, order: str) -> Purchase:
    return Purchase(
        timestamp_ms=0,
        user_id=user,
        order_id=order,
        item_id=title,
        quantity=1,
        price=1.0,
        country="GB",
        title=title,
    )


def orders(user: str, titles: list[str], *, count: int = 4) -> list[Purchase]:
    """Forty purchases in four orders, unless said otherwise."""
    many = (titles * 40)[:40]
    return [bought(user, title, f"{user}-{at % count}") for at, title in enumerate(many)]


CLEAR = orders("clear", BAGS)
MIXED = orders("mixed", TITLES)
HISTORY = [*MIXED, *CLEAR]


def shop(purchases: list[Purchase]) -> Shop:
    items = catalog_of([*purchases, *(bought("x", title, "x") for title in TITLES)])
    return Shop(purchases, items, encoder=TextEncoder())


def test_the_customer_is_the_one_with_the_clearest_taste() -> None:
    customer = shop(HISTORY).customer()

    assert (customer.user_id, customer.purchases) == ("clear", 40)
    assert customer.favourites == (("bags", 40),)


def test_a_customer_of_one_big_order_is_no_regular() -> None:
    assert shop([*MIXED, *orders("once", BAGS, count=1)]).customer().user_id == "mixed"


def test_without_regulars_there_is_no_story() -> None:
    with pytest.raises(StoryError, match="no user has 40 purchases in 4 orders; use the history"):
        shop(CLEAR[:39]).customer()


def test_the_theme_is_far_from_the_taste_and_not_in_the_list() -> None:
    one = shop(HISTORY)
    first = one.theme("clear", shown={"bags"}).category

    assert first in {"signs-and-words", "tea-and-table"}
    second = one.theme("clear", shown={"bags", first}).category
    assert {first, second} == {"signs-and-words", "tea-and-table"}


def test_the_theme_is_not_what_the_customer_likes() -> None:
    assert shop(HISTORY).theme("clear", shown=()).category != "bags"


def test_a_category_of_few_items_is_no_theme() -> None:
    with pytest.raises(StoryError, match="every category is in the list already"):
        shop(HISTORY).theme("clear", shown={"bags", "signs-and-words", "tea-and-table"})


def test_the_customer_clicks_the_best_sold_and_puts_the_best_of_them_into_the_cart() -> None:
    sales = [bought("other", SIGNS[5], f"o{n}") for n in range(3)]
    sales += [bought("other", SIGNS[2], f"o{n}") for n in range(2)]
    theme = shop([*CLEAR, *sales]).theme("clear", shown={"bags", "tea-and-table"})

    acts = [(act.action, act.item_id) for act in theme.acts]
    assert acts[:2] == [("click", SIGNS[5]), ("click", SIGNS[2])]
    assert [action for action, _ in acts] == ["click"] * 5 + ["add_to_cart"] * 3
    assert acts[5] == ("add_to_cart", SIGNS[5])


def test_items_without_a_category_are_no_theme() -> None:
    items = [CatalogItem(item_id=p.item_id, title=p.title) for p in CLEAR[:10]]
    nameless = [
        replace(items[0], item_id=f"n{n}", title=f"THING{n}", category=None) for n in range(20)
    ]

    with pytest.raises(StoryError, match="every category"):
        Shop(CLEAR, [*items, *nameless], encoder=TextEncoder()).theme("clear", shown=())


def test_the_shipped_history_tells_a_story() -> None:
    purchases = read_purchases()
    shipped = Shop(purchases, catalog_of(purchases), encoder=TextEncoder(read_words()))
    customer = shipped.customer()
    favourite, count = customer.favourites[0]

    assert count > customer.purchases / 2
    assert shipped.theme(customer.user_id, shown={favourite}).category != favourite
