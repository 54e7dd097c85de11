"""What the service answers; the shapes that OpenAPI shows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Source = Literal[
    "collaborative", "content", "neighbour", "repeat", "trending", "exploration", "popular"
]


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


class ItemExplanation(Answer):
    """Why an item is shown."""

    primary_reason: str
    signals: list[str]
    llm_generated: bool = Field(description="a language model wrote the reason")


class ItemMetadata(Answer):
    """What a client needs to draw an item."""

    title: str
    category: str | None
    price: float | None
    image_url: str | None


class PersonalizedItem(Answer):
    """One place of the list."""

    item_id: str
    rank: int = Field(ge=1)
    score: float = Field(ge=0, le=1)
    source: Source
    explanation: ItemExplanation | None = None
    metadata: ItemMetadata


class Versions(Answer):
    """Of what the answer was made."""

    user: int = Field(description="version of the user's state; 0: nothing is known of the user")
    embedding: int = Field(description="version of the user's vector; 0: there is none")
    model: str
    catalogue: int = Field(description="grows with each change of the catalogue in this process")


class PersonalizeMetadata(Answer):
    """How the answer came about."""

    latency_ms: float
    tier: Literal["edge", "origin", "llm"] = Field(
        description="llm: a language model wrote at least one of the reasons"
    )
    cache_hit: bool
    cold_start: bool = Field(description="nothing is known of the user: popular, trending, new")
    exploration_applied: bool
    model_version: str
    fallbacks: list[str] = Field(examples=[["rank:triton_unavailable"]])
    experiments: dict[str, str] = Field(description="the user's arm in each experiment")
    versions: Versions
    stages_ms: dict[str, float] = Field(description="time of each stage")


class PersonalizeAnswer(Answer):
    """The list."""

    request_id: str
    user_id: str
    items: list[PersonalizedItem]
    metadata: PersonalizeMetadata


class FeedbackAnswer(Answer):
    """The events are in the log."""

    status: Literal["accepted"]
    processed: int
    duplicates: int = Field(description="left out: the same was sent less than a minute ago")
    latency_ms: float


class ErrorDetail(Answer):
    """What was wrong, and what to do."""

    code: str = Field(examples=["invalid_value"])
    message: str = Field(examples=["constraints.count is 500: should be less than or equal to 100"])
    field: str | None = None
    hint: str
    request_id: str


class ErrorAnswer(Answer):
    """The one shape of every error."""

    error: ErrorDetail


class DependencyState(Answer):
    """A server that the service uses."""

    up: bool
    detail: str


class StoredValue(Answer):
    """What lies under a key of the online store, decoded."""

    ttl_s: int = Field(description="seconds until it is forgotten; -1: never")
    value: Any


class KnownUserAnswer(Answer):
    """All that the stores hold of a user."""

    user_id: str
    known: bool
    as_of: str = Field(description="windows, mood and ages are as of this instant")
    redis: dict[str, StoredValue] = Field(description="by key")
    milvus: dict[str, Any] = Field(
        description="the user's row and the nearest items; or why it is away"
    )


class ReadyAnswer(Answer):
    """Which dependencies are up; the service answers without them, with fallbacks."""

    status: Literal["ready", "degraded", "unready"]
    dependencies: dict[str, DependencyState]
    catalogue_items: int


class HealthAnswer(Answer):
    """The process is alive."""

    status: Literal["ok"]
