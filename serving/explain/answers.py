"""What explanations are answered in; the shapes that OpenAPI shows."""

from typing import Any, Literal

from pydantic import Field

from serving.answers import Answer

Basis = Literal["answer", "present_state"]


class ExplainedFactor(Answer):
    """A part of why the item stands where it stands."""

    factor: str = Field(examples=["category_affinity", "price_match", "trending"])
    weight: float = Field(ge=0, le=1, description="its share of the whole; all sum to 1")
    description: str


class Explained(Answer):
    """The explanation for people."""

    headline: str
    detailed: str
    factors: list[ExplainedFactor]
    llm_generated: bool = Field(description="whether a language model wrote the sentences")


class ComparedItem(Answer):
    """An item in either list; 0: not in it."""

    item_id: str
    title: str
    rank_before: int = Field(ge=0)
    rank_after: int = Field(ge=0)
    moved: int = Field(description="places upwards; of one in both lists")
    score_before: float
    score_after: float


class WhatIfAnswer(Answer):
    """The list as it was, and as it would have been."""

    supposed: dict[str, Any] = Field(description="what was taken to have been otherwise")
    before: list[str]
    after: list[str]
    items: list[ComparedItem] = Field(description="in the order of `after`, then what went")
    changed: bool
    notes: list[str] = Field(description="what was held the same, and what can't be told")


class ExplainAnswer(Answer):
    """Why an item is shown to a user."""

    item_id: str
    explanation: Explained
    basis: Basis = Field(
        description="answer: a kept answer, named by request_id; present_state: no kept answer has "
        "the item, so it is what would speak for it now"
    )
    request_id: str | None = Field(description="of the answer that is explained")
    notes: list[str] = Field(description="what the reader should know of how this came about")
    trace: dict[str, Any] | None = Field(description="if asked for by include_trace")
    what_if: WhatIfAnswer | None = Field(description="if asked for by what_if")
    latency_ms: float
