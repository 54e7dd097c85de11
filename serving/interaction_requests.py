"""What clients of document 001's endpoints tell of users, checked as strictly as `requests`."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from serving.requests import Action, Device, Id, Model, Time, Word

MOST_INTERACTIONS = 100
MOST_ATTRIBUTES = 16
DAY_S = 86_400

FeedbackType = Literal["not_interested", "hide", "report"]
Scope = Literal["item", "category"]
Place = Annotated[int, Field(ge=1, le=10_000)]


class InteractionContext(Model):
    """Where the user acted, and on which answer."""

    recommendation_id: Id | None = Field(None, description="of the answer that showed it")
    position: Place | None = Field(None, description="place in the list, from 1")
    surface: Word | None = Field(None, examples=["home_feed"])
    page_type: Word | None = None
    device_type: Device | None = None
    platform: Word | None = None
    country: Word | None = None
    region: Word | None = None
    city: Word | None = None
    model_version: Word | None = None
    experiment_id: Word | None = None
    variant: Word | None = None
    attributes: dict[Word, Word] = Field({}, max_length=MOST_ATTRIBUTES, description="others")


class InteractionFields(Model):
    """What is told of one interaction beside its item."""

    event_type: Action | None = Field(None, description="document 001's name; or give action")
    action: Action | None = Field(None, description="document 002's name; or give event_type")
    interaction_id: Id | None = Field(
        None,
        description="your own id of it; without one, the same type on the same item in the "
        "same minute is the same interaction",
    )
    session_id: Id | None = None
    timestamp: Time | None = Field(None, description="default: when the service received it")
    duration_seconds: float | None = Field(None, ge=0, le=DAY_S)
    duration_ms: int | None = Field(None, ge=0, le=DAY_S * 1000)
    completion_rate: float | None = Field(None, ge=0, le=1)
    position: Place | None = Field(None, description="place in the list, from 1")
    price: float | None = Field(None, ge=0)
    quantity: int | None = Field(None, ge=1, le=1_000_000)
    context: InteractionContext = InteractionContext()

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        for one, other in (
            ("event_type", "action"),
            ("duration_seconds", "duration_ms"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"has both {one} and {other}; give one of them")
        if self.position is not None and self.context.position is not None:
            raise ValueError("has position twice; give it here or in context")
        return self

    @property
    def kind(self) -> Action | None:
        """What the user did."""
        return self.event_type or self.action

    @property
    def spent_ms(self) -> int | None:
        """How long it took."""
        if self.duration_seconds is not None:
            return round(self.duration_seconds * 1000)
        return self.duration_ms


class Interaction(InteractionFields):
    """One interaction of several."""

    item_id: Id

    @model_validator(mode="after")
    def _has_a_kind(self) -> Self:
        if self.kind is None:
            raise ValueError("has neither event_type nor action; give one of them")
        return self


class InteractionsRequest(InteractionFields):
    """Tells of one interaction, or of several under `interactions`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "u-17850", "item_id": "85123A", "action": "click"},
                {
                    "user_id": "u-17850",
                    "session_id": "s-1",
                    "interactions": [
                        {
                            "item_id": "85123A",
                            "event_type": "view",
                            "duration_seconds": 120,
                            "completion_rate": 0.75,
                            "context": {"position": 3, "surface": "home_feed"},
                        }
                    ],
                },
            ]
        }
    )

    user_id: Id
    item_id: Id | None = None
    interactions: list[Interaction] = Field([], max_length=MOST_INTERACTIONS)

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        if not self.interactions:
            if self.item_id is None or self.kind is None:
                raise ValueError("needs item_id and action, or a list of interactions")
            return self
        beside = sorted(self.model_fields_set - {"user_id", "session_id", "interactions"})
        if beside:
            raise ValueError(f"has interactions and {beside[0]}; say it in each interaction")
        return self

    def each(self) -> Iterator[tuple[str, str, InteractionFields]]:
        """Every interaction: its place in the request, its item, and what is told of it."""
        if not self.interactions:
            yield "", self.item_id or "", self
            return
        for index, one in enumerate(self.interactions):
            yield f"interactions.{index}", one.item_id, one


class NegativeFeedbackRequest(Model):
    """Tells what a user doesn't want to see."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "item_id": "85123A",
                    "feedback_type": "not_interested",
                    "reason": "already_seen",
                }
            ]
        }
    )

    user_id: Id
    item_id: Id
    feedback_type: FeedbackType
    reason: Word | None = Field(None, examples=["already_seen"])
    scope: Scope = Field("item", description="of what less is wanted: the item, or its category")
    session_id: Id | None = None
    recommendation_id: Id | None = Field(None, description="of the answer that showed it")
    timestamp: Time | None = Field(None, description="default: when the service received it")

    @model_validator(mode="after")
    def _a_report_is_of_an_item(self) -> Self:
        if self.feedback_type == "report" and self.scope != "item":
            raise ValueError(f"scope is {self.scope}; a report is of an item")
        return self
