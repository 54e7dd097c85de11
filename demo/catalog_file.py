"""A catalogue in a CSV file: what can be used, and which lines can't and why."""

import csv
import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from demo.catalog import CatalogFileError, CatalogItem
from schemas.collections import ID_MAX_LENGTH
from schemas.types import Availability

REQUIRED = ("item_id", "title")
OPTIONAL = ("price", "category", "description", "brand", "image_url", "availability")


class _BadValueError(ValueError):
    """A cell that can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A line of the file that was left out, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFile:
    """What a file holds."""

    items: tuple[CatalogItem, ...]
    bad_rows: tuple[BadRow, ...]


def read_catalog(path: Path) -> CatalogFile:
    """Read a CSV file with `item_id`, `title` and any of the other columns; bad lines are kept."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return parse_catalog(file, name=path.name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CatalogFileError(f"{path}: can't be read ({reason}); check the path") from error
    except UnicodeDecodeError as error:
        raise CatalogFileError(
            f"{path}: is not UTF-8 ({error.reason}); convert it first"
        ) from error
    except csv.Error as error:
        raise CatalogFileError(f"{path}: is not CSV ({error})") from error


def parse_catalog(lines: Iterable[str], *, name: str) -> CatalogFile:
    """Turn CSV lines into items; `name` stands in the errors."""
    reader = csv.DictReader(lines)
    _check_columns(reader.fieldnames or (), name)
    items: dict[str, CatalogItem] = {}
    bad: list[BadRow] = []
    for row in reader:
        try:
            item = _item(row, known=items)
            items[item.item_id] = item
        except _BadValueError as error:
            bad.append(BadRow(line=reader.line_num, reason=str(error)))
    return CatalogFile(items=tuple(items.values()), bad_rows=tuple(bad))


def _check_columns(found: Iterable[str], name: str) -> None:
    columns = list(found)
    known = (*REQUIRED, *OPTIONAL)
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise CatalogFileError(
            f"{name}: no column {' and no column '.join(missing)} in its first line; "
            f"known columns: {', '.join(known)}"
        )
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise CatalogFileError(
            f"{name}: unknown column {unknown[0]!r}; rename or remove it; "
            f"known columns: {', '.join(known)}"
        )


def _item(row: Mapping[str | None, str | None], *, known: Container[str]) -> CatalogItem:
    if None in row:
        raise _BadValueError(
            "more cells than columns; a comma in a text needs quotes around the text"
        )
    cells = {str(column): (cell or "").strip() for column, cell in row.items()}
    return CatalogItem(
        item_id=_item_id(cells["item_id"], known=known),
        title=_title(cells["title"]),
        price=_price(cells.get("price", "")),
        category=_label(cells, "category"),
        description=cells.get("description", ""),
        brand=_label(cells, "brand"),
        image_url=cells.get("image_url") or None,
        availability=_availability(cells.get("availability", "")),
    )


def _item_id(text: str, *, known: Container[str]) -> str:
    if not text:
        raise _BadValueError("item_id is empty")
    if text in known:
        raise _BadValueError(f"item_id {text!r} was already on an earlier line")
    return _bounded(text, "item_id")


def _title(text: str) -> str:
    if not text:
        raise _BadValueError("title is empty")
    return text


def _label(cells: Mapping[str, str], column: str) -> str | None:
    return _bounded(cells.get(column, ""), column) or None


def _bounded(text: str, column: str) -> str:
    size = len(text.encode())
    if size > ID_MAX_LENGTH:
        raise _BadValueError(f"{column} has {size} bytes; at most {ID_MAX_LENGTH} are allowed")
    return text


def _price(text: str) -> float | None:
    if not text:
        return None
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not (math.isfinite(price) and price >= 0):
        raise _BadValueError(f"price {text!r} is not a number from 0 up; write it as 12.50")
    return price


def _availability(text: str) -> Availability:
    allowed = get_args(Availability)
    if text and text not in allowed:
        raise _BadValueError(f"availability {text!r} is none of {', '.join(allowed)}")
    return cast("Availability", text or "in_stock")
