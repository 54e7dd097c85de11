import csv
import gzip
from io import StringIO
from pathlib import Path

import pytest

from demo.purchases import Purchase, parse_purchases, read_purchases
from demo.reduce import Size, is_purchase, main, reduce, usual_titles, write

SOURCE = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,10001,RED BAG ,2,2010-12-01 08:26:00,1.25,17850.0,United Kingdom
1,10001,RED BAG,5,2010-12-01 08:26:00,1.25,17850.0,United Kingdom
1,10002a,BLUE  MUG.,1,2010-12-01 08:26:00,2.5,17850.0,United Kingdom
2,10001,BAG RED,1,2010-12-02 09:00:00,1.0,13047.0,EIRE
2,10002A,BLUE MUG,1,2010-12-02 09:00:00,2.5,13047.0,EIRE
3,10001,RED BAG,1,2010-12-03 10:00:00,1.25,17850.0,United Kingdom
4,10003,GREEN TIN,1,2010-12-04 10:00:00,1.25,99999.0,European Community
C5,10001,RED BAG,-2,2010-12-05 10:00:00,1.25,17850.0,United Kingdom
6,POST,POSTAGE,1,2010-12-05 10:00:00,18.0,17850.0,France
7,10001,RED BAG,1,2010-12-05 10:00:00,1.25,,France
8,10001,RED BAG,1,2010-12-05 10:00:00,0.0,17850.0,France
9,10001,damaged?,1,2010-12-05 10:00:00,1.0,17850.0,France
"""
ROWS = list(csv.DictReader(StringIO(SOURCE)))


def kept(**size: int) -> list[tuple[str, str, str]]:
    return [(p.order_id, p.user_id, p.item_id) for p in reduce(ROWS, Size(**size))]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"StockCode": "POST"}, "a fee"),
        ({"StockCode": "BANK CHARGES"}, "a fee"),
        ({"StockCode": "gift_0001_20"}, "a voucher"),
        ({"CustomerID": ""}, "nobody known"),
        ({"InvoiceNo": "C536379"}, "a cancellation"),
        ({"Quantity": "-1"}, "taken back"),
        ({"UnitPrice": "0.0"}, "for free"),
        ({"Description": "?? missing"}, "a correction"),
    ],
)
def test_what_is_no_purchase_is_left_out(change: dict[str, str], why: str) -> None:
    assert is_purchase(ROWS[0])
    assert not is_purchase(ROWS[0] | change), why


def test_every_purchase_stays_if_there_is_room() -> None:
    assert kept() == [
        ("1", "17850", "10001"),
        ("1", "17850", "10002A"),
        ("2", "13047", "10001"),
        ("2", "13047", "10002A"),
        ("3", "17850", "10001"),
        ("4", "99999", "10003"),
    ]


def test_the_items_with_most_buyers_stay() -> None:
    assert {item for _, _, item in kept(items=2)} == {"10001", "10002A"}
    assert {item for _, _, item in kept(items=1)} == {"10001"}  # a tie: the smaller id


def test_the_users_with_most_shopping_days_stay() -> None:
    assert {user for _, user, _ in kept(users=1)} == {"17850"}


def test_users_who_buy_too_much_are_no_shoppers() -> None:
    assert {user for _, user, _ in kept(user_lines=2)} == {"13047", "99999"}


def test_an_item_has_its_most_frequent_title() -> None:
    assert {p.item_id: p.title for p in reduce(ROWS, Size())} == {
        "10001": "RED BAG",
        "10002A": "BLUE MUG",
        "10003": "GREEN TIN",
    }


def test_equally_frequent_titles_are_taken_by_the_alphabet() -> None:
    first, second = reduce(ROWS, Size())[:2]

    assert usual_titles([first, replaced(second, item_id=first.item_id)]) == {"10001": "BLUE MUG"}


def replaced(purchase: Purchase, **changes: str) -> Purchase:
    from dataclasses import replace

    return replace(purchase, **changes)  # type: ignore[arg-type]


def test_countries_are_codes_and_times_are_utc() -> None:
    by_order = {p.order_id: p for p in reduce(ROWS, Size())}

    assert [by_order[order].country for order in "124"] == ["GB", "IE", ""]
    assert by_order["1"].timestamp_ms == 1_291_191_960_000


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.gz", "second.gz"):
        write(reduce(ROWS, Size()), tmp_path / name)

    first = (tmp_path / "first.gz").read_bytes()
    assert first == (tmp_path / "second.gz").read_bytes()
    assert first[4:8] == bytes(4), "the time in the header"


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    purchases = reduce(ROWS, Size())
    write(purchases, tmp_path / "some.csv.gz")

    assert read_purchases(tmp_path / "some.csv.gz") == purchases


def test_the_program_reads_a_file_and_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "source.csv").write_text(SOURCE)
    target = tmp_path / "target.csv.gz"

    assert main([str(tmp_path / "source.csv"), str(target)]) == 0

    assert capsys.readouterr().out == f"6 purchases in {target}\n"
    with gzip.open(target, "rt") as file:
        assert len(list(parse_purchases(file, name="target"))) == 6
