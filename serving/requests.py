"""What clients send, checked strictly: no unknown fields, no silent conversions, bounded sizes."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from domain.events import LABEL_MAX_LENGTH
from schemas.collections import ID_MAX_LENGTH

MAX_COUNT = 100
DEFAULT_COUNT = 20
DEFAULT_EXPLORATION_RATE = 0.1
DEFAULT_DIVERSITY_WEIGHT = 0.15

# Year 2100: later times are mistakes of unit.
LATEST_MS = 4_102_444_800_000


def _only_text(value: Any) -> Any:
    if not isinstance(value, str):
        # pydantic turns only this kind into a refusal.
        raise ValueError(  # noqa: TRY004
            'should be an RFC 3339 time as text, such as "2026-01-29T10:30:00Z"'
        )
    return value


def _in_range(value: datetime) -> datetime:
    if not 0 <= value.timestamp() * 1000 <= LATEST_MS:
        raise ValueError("should lie between the years 1970 and 2100")
    return value


def _at_most(limit: int) -> AfterValidator:
    """Limit a text by its bytes, as the event log and the stores do."""

    def check(value: str) -> str:
        size = len(value.encode())
        if size > limit:
            raise ValueError(f"has {size} bytes; at most {limit} are allowed")
        return value

    return AfterValidator(check)


Id = Annotated[str, Field(min_length=1, max_length=ID_MAX_LENGTH), _at_most(ID_MAX_LENGTH)]
Word = Annotated[str, Field(min_length=1, max_length=LABEL_MAX_LENGTH), _at_most(LABEL_MAX_LENGTH)]
# Strict JSON has no times; text is the one form taken, and it must say its zone.
Time = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_only_text),
    AfterValidator(_in_range),
]
Device = Literal["mobile", "desktop", "tablet", "tv"]
Action = Literal[
    "click",
    "view",
    "add_to_cart",
    "purchase",
    "dismiss",
    "like",
    "share",
    "skip",
    "scroll",
    "dwell",
]


class Model(BaseModel):
    """A part of a request."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Geo(Model):
    """Where the user is."""

    country: Word | None = None
    region: Word | None = None
    city: Word | None = None


class Context(Model):
    """Where and when the list is shown."""

    page_type: Word | None = Field(None, examples=["home", "search", "category", "item_detail"])
    placement: Word | None = Field(None, examples=["hero", "feed", "sidebar", "related"])
    device: Device | None = None
    geo: Geo = Geo()
    timestamp: Time | None = Field(None, description="default: now")


class PriceRange(Model):
    """Both ends are included; items of unknown price are left out."""

    min: float = Field(0.0, ge=0)
    max: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min} and max is {self.max}; min can't exceed max")
        return self


class Constraints(Model):
    """What may be in the list. Items bought before are not left out unless `exclude_items` says."""

    count: int = Field(DEFAULT_COUNT, ge=1, le=MAX_COUNT)
    categories: list[Id] = Field([], max_length=100, description="any of these; empty: all")
    exclude_items: list[Id] = Field([], max_length=500)
    price_range: PriceRange | None = None
    min_quality_score: float | None = Field(None, ge=0, le=1)


class Options(Model):
    """How the list is made."""

    include_explanation: bool = False
    exploration_rate: float = Field(
        DEFAULT_EXPLORATION_RATE, ge=0, le=1, description="share of places that try something else"
    )
    diversity_weight: float = Field(
        DEFAULT_DIVERSITY_WEIGHT, ge=0, le=1, description="0: relevance alone; 1: variety alone"
    )


class PersonalizeRequest(Model):
    """Asks for a list for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "session_id": "s-1",
                    "context": {
                        "page_type": "home",
                        "placement": "feed",
                        "device": "mobile",
                        "geo": {"country": "GB", "city": "London"},
                        "timestamp": "2026-01-29T10:30:00Z",
                    },
                    "constraints": {
                        "count": 10,
                        "exclude_items": ["85123A"],
                        "price_range": {"min": 1.0, "max": 20.0},
                    },
                    "options": {
                        "include_explanation": True,
                        "exploration_rate": 0.1,
                        "diversity_weight": 0.3,
                    },
                }
            ]
        }
    )

    user_id: Id
    session_id: Id | None = None
    context: Context = Context()
    constraints: Constraints = Constraints()
    options: Options = Options()


class FeedbackContext(Model):
    """Where the user acted."""

    page_type: Word | None = None
    device: Device | None = None
    platform: Word | None = None
    geo: Geo = Geo()


class Feedback(Model):
    """One thing that the user did with an item."""

    item_id: Id
    action: Action
    position: int | None = Field(None, ge=1, le=10_000, description="place in the list, from 1")
    duration_ms: int | None = Field(None, ge=0, le=86_400_000)
    completion_rate: float | None = Field(None, ge=0, le=1)
    timestamp: Time | None = Field(None, description="default: when the service received it")
    reward_override: float | None = Field(None, ge=0, le=1)
    price: float | None = Field(None, ge=0)
    quantity: int | None = Field(None, ge=1, le=1_000_000)


class FeedbackRequest(Model):
    """Tells what a user did."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "session_id": "s-1",
                    "request_id": "2f1c4c1e-7c53-4a52-9df5-0a2b0b1de7a1",
                    "feedback": [
                        {
                            "item_id": "85123A",
                            "action": "click",
                            "position": 3,
                            "duration_ms": 5000,
                            "timestamp": "2026-01-29T10:31:00Z",
                        }
                    ],
                }
            ]
        }
    )

    user_id: Id
    session_id: Id | None = None
    request_id: Id | None = Field(None, description="of the answer that showed the items")
    context: FeedbackContext = FeedbackContext()
    feedback: list[Feedback] = Field(min_length=1, max_length=100)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch.

    >>> to_ms(datetime.fromisoformat("1970-01-01T00:00:01Z"))
    1000
    """
    return round(moment.timestamp() * 1000)
