"""Reads what a model wrote. What isn't as it was asked for is refused, each part by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.reason_facts import ItemFacts
from domain.reason_text import flaw
from serving.reason_prompt import DETAILED_LENGTH, HEADLINE_LENGTH, REASON_LENGTH

# A list of reasons has as many places as items; one with many more isn't looked through.
MOST_PARTS = 100


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Written(_Part):
    item: int
    text: str


class _Reasons(_Part):
    reasons: list[Any] = Field(max_length=MOST_PARTS)


class _Explained(_Part):
    headline: str
    detailed: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """An explanation of one item."""

    headline: str
    detailed: str


@dataclass(frozen=True, kw_only=True)
class Read:
    """The texts that may be shown, by item, and why others may not, a name for each."""

    texts: dict[ItemFacts, str]
    refused: tuple[str, ...] = ()


def read_reasons(reply: str, items: Sequence[ItemFacts]) -> Read:
    """The reasons of a list's items, which count from 1.

    >>> lamp = ItemFacts("Lamp", None, None, ())
    >>> read_reasons('{"reasons": [{"item": 1, "text": "New"}, {"item": 2, "text": "No"}]}', [lamp])
    Read(texts={ItemFacts(title='Lamp', category=None, price=None, signals=()): 'New'}, \
refused=('unknown_item',))
    """
    try:
        parts = _Reasons.model_validate_json(reply).reasons
    except ValidationError as error:
        return Read(texts={}, refused=(_kind(error),))
    texts: dict[ItemFacts, str] = {}
    refused = []
    for part in parts:
        why = _take(part, items, texts)
        if why:
            refused.append(why)
    return Read(texts=texts, refused=tuple(refused))


def _take(part: Any, items: Sequence[ItemFacts], texts: dict[ItemFacts, str]) -> str | None:
    """Add a part to the texts, or say why not."""
    try:
        written = _Written.model_validate(part)
    except ValidationError as error:
        return _kind(error)
    if not 1 <= written.item <= len(items):
        return "unknown_item"
    item, text = items[written.item - 1], written.text.strip(" ")
    if item in texts:
        return "repeated_item"
    why = flaw(text, longest=REASON_LENGTH, numbers=item.numbers)
    if why is None:
        texts[item] = text
    return why


def read_explanation(reply: str, *, numbers: frozenset[float]) -> Text | str:
    """The explanation, or why it may not be shown.

    >>> read_explanation('{"headline": "For you"}', numbers=frozenset())
    'wrong_shape'
    """
    try:
        written = _Explained.model_validate_json(reply)
    except ValidationError as error:
        return _kind(error)
    headline, detailed = written.headline.strip(" "), written.detailed.strip(" ")
    why = flaw(headline, longest=HEADLINE_LENGTH, numbers=numbers) or flaw(
        detailed, longest=DETAILED_LENGTH, numbers=numbers
    )
    return why or Text(headline=headline, detailed=detailed)


def _kind(error: ValidationError) -> str:
    """Whether it is no JSON at all, or JSON of another shape."""
    not_json = any(one["type"] == "json_invalid" for one in error.errors(include_input=False))
    return "not_json" if not_json else "wrong_shape"
