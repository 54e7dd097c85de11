"""Makes `data/online_retail.csv.gz` from UCI's Online Retail, always the same bytes inside.

zstd -dc online-retail.csv.zst | python -m demo.reduce - demo/data/online_retail.csv.gz
"""

import argparse
import csv
import gzip
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from demo.purchases import COLUMNS, Purchase, to_row

# Products have five digits and perhaps letters; POST, M, D, BANK CHARGES and the like are fees.
PRODUCT_CODE = re.compile(r"\d{5}[A-Za-z]*")

DAY_MS = 86_400_000

# ISO 3166 alpha-2 of the names in the source; names of no one country stay empty.
COUNTRY_CODES = {
    "Australia": "AU",
    "Austria": "AT",
    "Bahrain": "BH",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Cyprus": "CY",
    "Czech Republic": "CZ",
    "Denmark": "DK",
    "EIRE": "IE",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Greece": "GR",
    "Hong Kong": "HK",
    "Iceland": "IS",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Lebanon": "LB",
    "Lithuania": "LT",
    "Malta": "MT",
    "Netherlands": "NL",
    "Norway": "NO",
    "Poland": "PL",
    "Portugal": "PT",
    "RSA": "ZA",
    "Saudi Arabia": "SA",
    "Singapore": "SG",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "USA": "US",
    "United Arab Emirates": "AE",
    "United Kingdom": "GB",
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is kept. Users with more lines than `user_lines` are wholesalers, not shoppers."""

    users: int = 400
    items: int = 1_000
    user_lines: int = 200


Row = Mapping[str, str]


def reduce(rows: Iterable[Row], size: Size) -> list[Purchase]:
    """The purchases of the most regular shoppers among the items most bought, oldest first."""
    purchases = list(_one_line_an_item(to_purchase(row) for row in rows if is_purchase(row)))
    items = _top(_buyers(purchases), size.items)
    of_items = [purchase for purchase in purchases if purchase.item_id in items]
    users = _top(_shopping_days(of_items, size.user_lines), size.users)
    titles = usual_titles(purchases)
    kept = [
        replace(purchase, title=titles[purchase.item_id])
        for purchase in of_items
        if purchase.user_id in users
    ]
    return sorted(kept, key=lambda p: (p.timestamp_ms, p.order_id, p.item_id))


def is_purchase(row: Row) -> bool:
    """Whether a line sells a product to a known user: no fee, cancellation, gift or correction."""
    return (
        bool(PRODUCT_CODE.fullmatch(row["StockCode"]))
        and bool(row["CustomerID"])
        and not row["InvoiceNo"].startswith("C")
        and int(row["Quantity"]) > 0
        and float(row["UnitPrice"]) > 0
        and "?" not in row["Description"]
    )


def to_purchase(row: Row) -> Purchase:
    """The line in our own form; its time, which names no zone, is taken as UTC."""
    at = datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC)
    return Purchase(
        timestamp_ms=int(at.timestamp() * 1000),
        user_id=row["CustomerID"].removesuffix(".0"),
        order_id=row["InvoiceNo"],
        item_id=row["StockCode"].upper(),
        quantity=int(row["Quantity"]),
        price=float(row["UnitPrice"]),
        country=COUNTRY_CODES.get(row["Country"], ""),
        title=" ".join(row["Description"].split()).rstrip(" .,"),
    )


def usual_titles(purchases: Iterable[Purchase]) -> dict[str, str]:
    """The title that an item has most often."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for purchase in purchases:
        seen[purchase.item_id][purchase.title] += 1
    return {item: min(titles, key=lambda t: (-titles[t], t)) for item, titles in seen.items()}


def write(purchases: Iterable[Purchase], target: Path) -> None:
    """Write the file; no name and no time go into its gzip header."""
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        rows.writeheader()
        rows.writerows(to_row(purchase) for purchase in purchases)


def main(arguments: list[str]) -> int:
    """Read the source named first (`-` is standard input), write the file named second."""
    parser = argparse.ArgumentParser(prog="python -m demo.reduce", description=__doc__)
    parser.add_argument("source", help="CSV file; - is standard input")
    parser.add_argument("target", type=Path)
    for name, default in asdict(Size()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    chosen = parser.parse_args(arguments)
    size = Size(users=chosen.users, items=chosen.items, user_lines=chosen.user_lines)
    with nullcontext(sys.stdin) if chosen.source == "-" else Path(chosen.source).open() as source:
        purchases = reduce(csv.DictReader(source), size)
    write(purchases, chosen.target)
    sys.stdout.write(f"{len(purchases)} purchases in {chosen.target}\n")
    return 0


def _one_line_an_item(purchases: Iterable[Purchase]) -> Iterator[Purchase]:
    """An order may list an item twice; to a shopper it is one choice, so the first line stays."""
    seen: set[tuple[str, str]] = set()
    for purchase in purchases:
        line = (purchase.order_id, purchase.item_id)
        if line not in seen:
            seen.add(line)
            yield purchase


def _buyers(purchases: Iterable[Purchase]) -> dict[str, int]:
    users = defaultdict(set)
    for purchase in purchases:
        users[purchase.item_id].add(purchase.user_id)
    return {item: len(found) for item, found in users.items()}


def _shopping_days(purchases: list[Purchase], most_lines: int) -> dict[str, int]:
    lines = Counter(purchase.user_id for purchase in purchases)
    days = defaultdict(set)
    for purchase in purchases:
        if lines[purchase.user_id] <= most_lines:
            days[purchase.user_id].add(purchase.timestamp_ms // DAY_MS)
    return {user: len(found) for user, found in days.items()}


def _top(scores: Mapping[str, int], count: int) -> set[str]:
    """The names with the highest scores, the smaller name first where scores are equal."""
    return set(sorted(scores, key=lambda name: (-scores[name], name))[:count])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
