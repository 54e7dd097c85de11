from pathlib import Path

import pytest

from demo.catalog import CatalogFileError, CatalogItem
from demo.catalog_file import BadRow, parse_catalog, read_catalog

HEADER = "item_id,title,price,category,availability"


def reasons(*rows: str) -> list[tuple[int, str]]:
    found = parse_catalog([HEADER, "ok,Good,1.0,c,", *rows], name="f.csv")
    assert [item.item_id for item in found.items] == ["ok"]
    return [(row.line, row.reason) for row in found.bad_rows]


def test_every_column_is_read() -> None:
    columns = "item_id,title,price,category,description,brand,image_url,availability"
    row = 'a, Red mug ,12.50,mugs,"Enamel, red",b1,https://x/y.png,limited'

    assert parse_catalog([columns, row], name="f.csv").items == (
        CatalogItem(
            item_id="a",
            title="Red mug",
            price=12.5,
            category="mugs",
            description="Enamel, red",
            brand="b1",
            image_url="https://x/y.png",
            availability="limited",
        ),
    )


def test_only_id_and_title_are_needed() -> None:
    found = parse_catalog(["title,item_id", "Red mug,a"], name="f.csv")

    assert found.items == (CatalogItem(item_id="a", title="Red mug"),)
    assert found.bad_rows == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",No id,1,c,", "item_id is empty"),
        ("a,,1,c,", "title is empty"),
        ("a", "title is empty"),
        ("ok,Again,1,c,", "item_id 'ok' was already on an earlier line"),
        ("a,T,cheap,c,", "price 'cheap' is not a number from 0 up; write it as 12.50"),
        ("a,T,-1,c,", "price '-1' is not a number from 0 up; write it as 12.50"),
        ("a,T,nan,c,", "price 'nan' is not a number from 0 up; write it as 12.50"),
        ("a,T,inf,c,", "price 'inf' is not a number from 0 up; write it as 12.50"),
        (
            "a,T,1,c,maybe",
            "availability 'maybe' is none of in_stock, limited, out_of_stock",
        ),
        (
            "a,T,1,c,,extra",
            "more cells than columns; a comma in a text needs quotes around the text",
        ),
        ("é" * 129 + ",T,1,c,", "item_id has 258 bytes; at most 256 are allowed"),
        ("a,T,1," + "c" * 257 + ",", "category has 257 bytes; at most 256 are allowed"),
    ],
)
def test_a_bad_line_is_kept_with_its_reason(row: str, reason: str) -> None:
    assert reasons(row) == [(3, reason)]


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f'{HEADER}\na,"two\nlines",-1,c,\n\nb,,1,c,\n')

    assert [row.line for row in read_catalog(tmp_path / "f.csv").bad_rows] == [3, 5]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(CatalogFileError, match=r"f\.csv: no column title in its first line; known"):
        parse_catalog(["item_id,name", "a,T"], name="f.csv")


def test_an_empty_file_has_no_columns() -> None:
    with pytest.raises(CatalogFileError, match="no column item_id and no column title"):
        parse_catalog([], name="f.csv")


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(CatalogFileError, match="unknown column 'colour'; rename or remove it"):
        parse_catalog(["item_id,title,colour"], name="f.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"item_id,title\na,\xff\xfe\n", "is not UTF-8"),
        (b"item_id,title\na," + b"x" * 200_000 + b"\n", "is not CSV"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.csv").write_bytes(content)

    with pytest.raises(CatalogFileError, match=message):
        read_catalog(tmp_path / "f.csv")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogFileError, match=r"none\.csv: can't be read \(No such file"):
        read_catalog(tmp_path / "none.csv")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbfitem_id,title\na,T\n,T\n")
    found = read_catalog(tmp_path / "f.csv")

    assert [item.item_id for item in found.items] == ["a"]
    assert found.bad_rows == (BadRow(line=3, reason="item_id is empty"),)
