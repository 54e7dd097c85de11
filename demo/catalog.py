"""The items of a catalogue, derived from sales where there is no file of them, as messages."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from demo.categories import category_of
from demo.purchases import Purchase
from domain.text import TextEncoder, WordCounts
from schemas.types import Availability, ItemEvent

SHIPPED_WORDS = Path(__file__).with_name("data") / "words.json"


class CatalogFileError(Exception):
    """A file can't be used at all; the message says why and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogItem:
    """What is known of an item when it enters."""

    item_id: str
    title: str
    price: float | None = None
    category: str | None = None
    description: str = ""
    brand: str | None = None
    image_url: str | None = None
    availability: Availability = "in_stock"


def catalog_of(purchases: Iterable[Purchase]) -> list[CatalogItem]:
    """Derive the shop's items from its sales: title, middle price, category by the title."""
    prices: defaultdict[str, list[float]] = defaultdict(list)
    titles: dict[str, str] = {}
    for purchase in purchases:
        prices[purchase.item_id].append(purchase.price)
        titles[purchase.item_id] = purchase.title
    return [
        CatalogItem(
            item_id=item_id,
            title=title,
            price=round(median(prices[item_id]), 2),
            category=category_of(title),
        )
        for item_id, title in sorted(titles.items())
    ]


def to_event(item: CatalogItem, *, encoder: TextEncoder, updated_at_ms: int) -> ItemEvent:
    """Make the item's message; an item whose text has no word gets no vector."""
    vector = encoder.encode(text_of(item))
    has_words = bool(vector.any())
    return ItemEvent(
        item_id=item.item_id,
        updated_at_ms=updated_at_ms,
        title=item.title,
        description=item.description,
        category_id=item.category,
        categories=(item.category,) if item.category else (),
        brand_id=item.brand,
        price=item.price,
        image_url=item.image_url,
        availability=item.availability,
        text_embedding=vector.astype("<f4").tobytes() if has_words else None,
        embedding_space=encoder.space if has_words else None,
    )


def read_words(path: Path = SHIPPED_WORDS) -> WordCounts:
    """Read word counts that `write_words` has written."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return WordCounts(int(stored["texts"]), {w: int(n) for w, n in stored["words"].items()})
    except OSError as error:
        reason = error.strerror or str(error)
        raise CatalogFileError(f"{path}: can't be read ({reason}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogFileError(
            f"{path}: does not hold word counts ({type(error).__name__}: {error}); "
            "make it with `freshet catalog words`"
        ) from error


def write_words(counts: WordCounts, path: Path) -> None:
    """Keep word counts, so that items that arrive later get comparable vectors."""
    stored = {"texts": counts.texts, "words": dict(sorted(counts.words.items()))}
    path.write_text(json.dumps(stored, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


def text_of(item: CatalogItem) -> str:
    """What the item's vector is made of."""
    return f"{item.title} {item.description}"
