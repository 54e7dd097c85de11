"""The purchases that ship with the project, and any file of the same form."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

SHIPPED = Path(__file__).with_name("data") / "online_retail.csv.gz"
COLUMNS = ("at", "user_id", "order_id", "item_id", "quantity", "price", "country", "title")


class PurchaseFileError(Exception):
    """A file of purchases can't be used; the message names the line and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One line of an order."""

    timestamp_ms: int
    user_id: str
    order_id: str
    item_id: str
    quantity: int
    price: float
    country: str
    title: str


def read_purchases(path: Path = SHIPPED) -> list[Purchase]:
    """All purchases of a file (CSV, or CSV in gzip), oldest first."""
    with _opened(path) as file:
        purchases = list(parse_purchases(file, name=path.name))
    return sorted(purchases, key=lambda purchase: purchase.timestamp_ms)


def parse_purchases(lines: Iterable[str], *, name: str) -> Iterator[Purchase]:
    """The purchases of CSV lines; `name` stands in the error of a line that is wrong."""
    reader = csv.DictReader(lines)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise PurchaseFileError(
            f"{name}: no column {', '.join(missing)}; a file of purchases has {', '.join(COLUMNS)}"
        )
    for row in reader:
        yield _purchase(row, where=f"{name}, line {reader.line_num}")


def to_row(purchase: Purchase) -> dict[str, str | int | float]:
    """The purchase as a row of the file."""
    at = datetime.fromtimestamp(purchase.timestamp_ms / 1000, UTC)
    return {
        "at": at.strftime("%Y-%m-%dT%H:%MZ"),
        **{column: getattr(purchase, column) for column in COLUMNS[1:]},
    }


def _purchase(row: Mapping[str, str | None], *, where: str) -> Purchase:
    try:
        cells = {column: cast("str", row[column]).strip() for column in COLUMNS}
        return Purchase(
            timestamp_ms=_timestamp_ms(cells["at"]),
            user_id=cells["user_id"],
            order_id=cells["order_id"],
            item_id=cells["item_id"],
            quantity=int(cells["quantity"]),
            price=float(cells["price"]),
            country=cells["country"],
            title=cells["title"],
        )
    except (ValueError, AttributeError) as error:
        raise PurchaseFileError(f"{where}: {error}; correct the line or remove it") from error


def _timestamp_ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone; write it as 2011-01-31T09:30Z")
    return int(at.timestamp() * 1000)


def _opened(path: Path) -> IO[str]:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        reason = error.strerror or str(error)
        raise PurchaseFileError(f"{path}: can't be read ({reason}); check the path") from error
