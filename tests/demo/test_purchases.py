from collections import Counter
from pathlib import Path

import pytest

from demo.purchases import (
    COLUMNS,
    SHIPPED,
    Purchase,
    PurchaseFileError,
    parse_purchases,
    read_purchases,
    to_row,
)

HEADER = ",".join(COLUMNS)
GOOD = "2010-12-01T08:34Z,13047,536367,21754,3,5.95,GB,HOME BUILDING BLOCK WORD"


def test_a_line_is_a_purchase_and_back() -> None:
    (purchase,) = parse_purchases([HEADER, GOOD], name="some.csv")

    assert purchase == Purchase(
        timestamp_ms=1_291_192_440_000,
        user_id="13047",
        order_id="536367",
        item_id="21754",
        quantity=3,
        price=5.95,
        country="GB",
        title="HOME BUILDING BLOCK WORD",
    )
    assert ",".join(str(cell) for cell in to_row(purchase).values()) == GOOD


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",3,", ",three,", "line 3: invalid literal for int() with base 10: 'three'"),
        ("5.95", "cheap", "line 3: could not convert string to float: 'cheap'"),
        ("2010-12-01T08:34Z", "yesterday", "line 3: Invalid isoformat string: 'yesterday'"),
        ("08:34Z", "08:34", "line 3: time '2010-12-01T08:34' has no zone"),
        (",HOME BUILDING BLOCK WORD", "", "line 3: "),
    ],
)
def test_a_wrong_line_is_named(old: str, new: str, message: str) -> None:
    lines = [HEADER, GOOD, GOOD.replace(old, new)]

    with pytest.raises(PurchaseFileError, match=r"some\.csv") as raised:
        list(parse_purchases(lines, name="some.csv"))

    assert message in str(raised.value)
    assert "correct the line or remove it" in str(raised.value)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(PurchaseFileError, match="no column order_id, title; a file of purchases"):
        list(parse_purchases([HEADER.replace("order_id", "x").replace("title", "y")], name="f"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PurchaseFileError, match=r"none\.csv: can't be read \(No such file"):
        read_purchases(tmp_path / "none.csv")


def test_a_plain_file_is_read_oldest_first(tmp_path: Path) -> None:
    newer = GOOD.replace("2010-12-01", "2010-12-02").replace("536367", "536368")
    (tmp_path / "plain.csv").write_text("\n".join([HEADER, newer, GOOD]))

    assert [p.order_id for p in read_purchases(tmp_path / "plain.csv")] == ["536367", "536368"]


def test_what_ships_is_what_its_readme_says() -> None:
    purchases = read_purchases()

    assert len(purchases) == 37_630
    assert len({p.item_id for p in purchases}) == 1_000
    assert len({p.user_id for p in purchases}) == 400
    assert max(Counter(p.user_id for p in purchases).values()) <= 200
    assert max(Counter((p.order_id, p.item_id) for p in purchases).values()) == 1
    assert all(p.quantity > 0 and p.price > 0 and len(p.country) in {0, 2} for p in purchases)
    assert SHIPPED.stat().st_size < 1_000_000
