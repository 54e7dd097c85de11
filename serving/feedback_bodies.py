"""What POST /v1/feedback takes: document 000's shape, or document 001's, and never half of each."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag, model_validator

from serving.feedback import Tell, told_by
from serving.interaction_requests import MOST_INTERACTIONS, Interaction, InteractionFields
from serving.interactions import interactions_answer, told_by_interactions
from serving.requests import FeedbackRequest, Id, Model


class EventsRequest(Model):
    """Tells what a user did, as document 001 has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "events": [
                        {
                            "item_id": "85123A",
                            "event_type": "view",
                            "duration_seconds": 120,
                            "completion_rate": 0.75,
                            "context": {"position": 3, "surface": "home_feed"},
                        }
                    ],
                }
            ]
        }
    )

    user_id: Id
    session_id: Id | None = None
    events: list[Interaction] = Field(min_length=1, max_length=MOST_INTERACTIONS)

    @model_validator(mode="before")
    @classmethod
    def _of_one_document(cls, given: Any) -> Any:
        if isinstance(given, dict) and "feedback" in given:
            raise ValueError("has both feedback and events; give one of them, in its own shape")
        return given

    def each(self) -> Iterator[tuple[str, str, InteractionFields]]:
        """Every event: its place in the request, its item, and what is told of it."""
        for index, one in enumerate(self.events):
            yield f"events.{index}", one.item_id, one


def _shape(given: Any) -> str:
    """Whose shape it is, by the one field that only document 001 has."""
    of_001 = isinstance(given, EventsRequest) or (isinstance(given, dict) and "events" in given)
    return EventsRequest.__name__ if of_001 else FeedbackRequest.__name__


class FeedbackBody(
    RootModel[
        Annotated[
            Annotated[FeedbackRequest, Tag(FeedbackRequest.__name__)]
            | Annotated[EventsRequest, Tag(EventsRequest.__name__)],
            Discriminator(_shape),
        ]
    ]
):
    """What a user did: feedback as document 000 has it, or events as document 001 does."""

    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "request_id": "2f1c4c1e-7c53-4a52-9df5-0a2b0b1de7a1",
                    "feedback": [{"item_id": "85123A", "action": "click", "position": 3}],
                },
                {"user_id": "u-17850", "events": [{"item_id": "85123A", "event_type": "click"}]},
            ]
        },
    )

    def tell(self, *, idempotency_key: str | None) -> Tell:
        """What it tells, as of an instant that is yet to be said."""
        if isinstance(self.root, EventsRequest):
            return partial(told_by_interactions, self.root, idempotency_key=idempotency_key)
        return partial(told_by, self.root, idempotency_key=idempotency_key)

    def answer(self, taken: dict[str, Any]) -> dict[str, Any]:
        """The answer in the words of the document that it was asked in."""
        return interactions_answer(taken) if isinstance(self.root, EventsRequest) else taken
