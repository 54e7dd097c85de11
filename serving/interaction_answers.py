"""What document 001's endpoints answer to what they are told; the shapes that OpenAPI shows."""

from typing import Literal

from pydantic import Field

from serving.answers import Answer


class InteractionsAnswer(Answer):
    """The events are in the log."""

    status: Literal["accepted"]
    events_processed: int
    duplicates: int = Field(description="left out: the same was told in the last 24 h")


class NegativeFeedbackAnswer(Answer):
    """The feedback is in the log."""

    status: Literal["accepted"]
    action_taken: Literal["item_blocked", "category_demoted", "item_reported"] = Field(
        description="blocked: it is left out of the user's lists for as long as the dismissal is "
        "among their recent interactions; demoted: the user's tastes turn away from it; reported: "
        "blocked, and the log keeps the report"
    )
    duplicate: bool = Field(description="the same was told in the last 24 h")
