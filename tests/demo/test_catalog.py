from pathlib import Path

import numpy as np
import pytest

from demo.catalog import (
    CatalogFileError,
    CatalogItem,
    catalog_of,
    read_words,
    text_of,
    to_event,
    write_words,
)
from demo.categories import OTHER, category_of
from demo.purchases import Purchase, read_purchases
from domain.text import TextEncoder, WordCounts
from schemas.codec import decode, encode
from schemas.types import ItemEvent


def bought(item_id: str, title: str, price: float) -> Purchase:
    return Purchase(
        timestamp_ms=0,
        user_id="u",
        order_id="o",
        item_id=item_id,
        quantity=1,
        price=price,
        country="GB",
        title=title,
    )


def test_an_item_has_its_middle_price_and_a_category() -> None:
    sales = [bought("b", "RED MUG", price) for price in (1.0, 9.0, 2.0)]

    assert catalog_of([*sales, bought("a", "SOMETHING", 3.0)]) == [
        CatalogItem(item_id="a", title="SOMETHING", price=3.0, category=OTHER),
        CatalogItem(item_id="b", title="RED MUG", price=2.0, category="tea-and-table"),
    ]


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("JUMBO BAG RED RETROSPOT", "bags"),
        ("JUMBO BAG TOYS", "bags"),
        ("DINOSAUR LUNCH BOX WITH CUTLERY", "storage"),
        ("HANGING HEART T-LIGHT HOLDER", "candles-and-lights"),
        ("BALLOONS WRITING SET", "parties"),
        ("JIGSAW TREE WITH BIRDHOUSE", "toys-and-crafts"),
        ("WITH CUTLERY", "kitchen"),
        ("HEART OF WICKER SMALL", "decorations"),
        ("PAINTED METAL PEARS ASSORTED", OTHER),
        ("", OTHER),
    ],
)
def test_the_thing_in_the_title_is_the_category(title: str, category: str) -> None:
    assert category_of(title) == category


def test_nearly_all_shipped_items_have_a_category() -> None:
    categories = [item.category for item in catalog_of(read_purchases())]

    assert categories.count(OTHER) < 0.03 * len(categories)
    assert len(set(categories)) == 20


def test_an_item_crosses_the_boundary_with_its_vector() -> None:
    encoder = TextEncoder()
    item = CatalogItem(
        item_id="1", title="RED MUG", description="Enamel.", price=2.5, category="mugs", brand="b"
    )

    event = decode(encode(to_event(item, encoder=encoder, updated_at_ms=7)), ItemEvent)

    assert (event.item_id, event.title, event.price, event.updated_at_ms) == (
        "1",
        "RED MUG",
        2.5,
        7,
    )
    assert (event.category_id, event.categories, event.brand_id) == ("mugs", ("mugs",), "b")
    assert event.embedding_space == encoder.space
    assert event.text_embedding is not None
    vector = np.frombuffer(event.text_embedding, "<f4")
    assert np.array_equal(vector, encoder.encode("RED MUG Enamel."))


def test_an_item_without_words_has_no_vector() -> None:
    event = to_event(CatalogItem(item_id="1", title="!!!"), encoder=TextEncoder(), updated_at_ms=7)

    assert (event.text_embedding, event.embedding_space) == (None, None)


def test_word_counts_are_kept_in_a_file(tmp_path: Path) -> None:
    counts = WordCounts.learn(["red mug", "thé rouge"])
    write_words(counts, tmp_path / "words.json")

    assert read_words(tmp_path / "words.json") == counts


def test_the_shipped_word_counts_are_those_of_the_shipped_catalogue() -> None:
    assert read_words() == WordCounts.learn(text_of(item) for item in catalog_of(read_purchases()))


def test_word_counts_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"texts": 3}')

    with pytest.raises(CatalogFileError, match=r"bad\.json: does not hold word counts \(KeyError"):
        read_words(tmp_path / "bad.json")
    with pytest.raises(CatalogFileError, match=r"none\.json: can't be read"):
        read_words(tmp_path / "none.json")
