"""What clients send to have something explained, checked as strictly as `serving.requests`."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from domain.emotion import Label, ScrollBehavior
from domain.reasons import Style
from serving.requests import Id, Model, Word


class ExplainContext(Model):
    """Where the explanation is shown, and to whom it speaks."""

    page_type: Word | None = Field(None, examples=["item_detail"])
    explanation_style: Style = "concise"


class SupposedMood(Model):
    """How the user is taken to have felt. What isn't given is neutral; the pace stays as it was."""

    valence: float = Field(0.0, ge=-1, le=1)
    arousal: float = Field(0.0, ge=-1, le=1)
    dominance: float = Field(0.0, ge=-1, le=1)
    frustration: float = Field(0.0, ge=0, le=0.99)
    velocity: float | None = Field(None, ge=0, le=600, description="interactions a minute")
    behavior: ScrollBehavior | None = None


class WhatIf(Model):
    """What is taken to have been otherwise; all else stays as it was."""

    without_event: Id | None = Field(
        None, description="an event of the user's recent ones, by its event_id or its item_id"
    )
    emotion: Label | Literal["unknown"] | SupposedMood | None = Field(
        None, description="a mood by name or by numbers; unknown: none is known"
    )
    exploration: Literal[False] | None = Field(None, description="false: nothing is left to chance")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.without_event is None and self.emotion is None and self.exploration is None:
            raise ValueError("names nothing; give without_event, emotion or exploration")
        return self


class ExplainRequest(Model):
    """Asks why an item is shown to a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "item_id": "85123A",
                    "context": {
                        "page_type": "item_detail",
                        "explanation_style": "conversational",
                    },
                },
                {
                    "user_id": "u-17850",
                    "item_id": "85123A",
                    "request_id": "2f1c4c1e-7c53-4a52-9df5-0a2b0b1de7a1",
                    "include_trace": True,
                    "what_if": {"without_event": "22423", "exploration": False},
                },
            ]
        }
    )

    user_id: Id
    item_id: Id
    request_id: Id | None = Field(
        None, description="of the answer; without it, the user's latest kept one with the item"
    )
    context: ExplainContext = ExplainContext()
    include_trace: bool = Field(default=False, description="the whole trace, for machines")
    what_if: WhatIf | None = None
