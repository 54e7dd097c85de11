"""Puts a catalogue into the log."""

from collections.abc import Callable, Iterable, Iterator

from demo.catalog import CatalogItem, to_event
from demo.promise import Promise
from domain.text import TextEncoder
from schemas.types import ItemEvent

BATCH = 500


def load(
    items: Iterable[CatalogItem],
    *,
    encoder: TextEncoder,
    updated_at_ms: int,
    send: Callable[[ItemEvent], Promise],
) -> Iterator[CatalogItem]:
    """Send each item, yielding it once it is handed over; raises the first failure."""
    pending: list[Promise] = []
    for item in items:
        pending.append(send(to_event(item, encoder=encoder, updated_at_ms=updated_at_ms)))
        if len(pending) >= BATCH:
            _settle(pending)
        yield item
    _settle(pending)


def _settle(pending: list[Promise]) -> None:
    for promise in pending:
        promise.result()
    pending.clear()
