"""What document 001's endpoints for lists answer; the shapes that OpenAPI shows."""

from typing import Literal

from pydantic import Field

from serving.answers import Answer, Versions
from serving.recommendation_requests import SimilarityType


class RecommendationExplanation(Answer):
    """Why an item is shown."""

    reason: str = Field(examples=["similar_to_recent", "category_match", "trending"])
    source_items: list[str] = Field(description="items that the user met and that led to this one")
    text: str = Field(description="the reason as a sentence")
    llm_generated: bool = Field(description="a language model wrote the text")


class RecommendedMetadata(Answer):
    """What a client needs to draw an item."""

    title: str
    thumbnail_url: str | None
    category: str | None
    price: float | None


class Recommendation(Answer):
    """One place of the list."""

    item_id: str
    score: float = Field(ge=0, le=1)
    rank: int = Field(ge=1)
    explanation: RecommendationExplanation
    metadata: RecommendedMetadata


class RecommendationLatency(Answer):
    """Where the time went, in milliseconds."""

    total: float
    retrieval: float
    ranking: float
    feature_fetch: float


class RecommendationMetadata(Answer):
    """How the answer came about."""

    model_version: str
    experiment_id: str | None
    variant: str | None
    retrieval_sources: dict[str, int] = Field(
        description="how many of the items each source brought",
        examples=[{"collaborative": 35, "content": 10, "trending": 5}],
    )
    latency_ms: RecommendationLatency
    cold_start: bool = Field(description="nothing is known of the user: popular, trending, new")
    fallbacks: list[str] = Field(examples=[["rank:triton_unavailable"]])
    versions: Versions


class RecommendationAnswer(Answer):
    """The list."""

    request_id: str
    recommendations: list[Recommendation]
    metadata: RecommendationMetadata


class SimilarItem(Answer):
    """An item that is like the one asked about."""

    item_id: str
    similarity_score: float = Field(ge=0, le=1)
    similarity_type: Literal[SimilarityType, "popular"] = Field(description="what speaks for it")
    common_attributes: list[str] = Field(examples=[["category:mugs", "creator:emma"]])


class SimilarMetadata(Answer):
    """How the answer came about."""

    personalized: bool = Field(description="the order follows what the user likes, too")
    fallbacks: list[str] = Field(examples=[["similar:redis_unavailable"]])
    latency_ms: float


class SimilarAnswer(Answer):
    """What is like an item, most like it first, or first what the user likes best."""

    request_id: str
    source_item: str
    similar_items: list[SimilarItem]
    metadata: SimilarMetadata
