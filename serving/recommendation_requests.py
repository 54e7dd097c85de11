"""What clients of document 001's endpoints send for lists, checked as strictly as `requests`."""

from typing import Literal

from pydantic import ConfigDict, Field

from serving.requests import MAX_COUNT, Device, Id, Model, Time, Word

DEFAULT_ITEMS = 50
DEFAULT_SIMILAR = 20

RequestType = Literal["home_feed", "similar", "continue_watching"]
SimilarityType = Literal["content", "collaborative", "hybrid"]


class Location(Model):
    """Where the user is."""

    country: Word | None = None
    region: Word | None = None


class RecommendationContext(Model):
    """Where and when the list is shown."""

    device_type: Device | None = None
    platform: Word | None = Field(
        None, description="taken for interactions' sake; a list doesn't depend on it"
    )
    timestamp: Time | None = Field(None, description="default: now")
    location: Location = Location()
    session_id: Id | None = None


class Filters(Model):
    """What may be in the list."""

    categories: list[Id] = Field([], max_length=100, description="any of these; empty: all")
    min_quality_score: float | None = Field(None, ge=0, le=1)


class DiversitySettings(Model):
    """How varied the list is. Variety is by likeness of items, so the greater wish counts."""

    category_diversity: float | None = Field(None, ge=0, le=1)
    creator_diversity: float | None = Field(None, ge=0, le=1)


class RecommendationRequest(Model):
    """Asks for recommendations for a user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "u-17850",
                    "context": {
                        "device_type": "mobile",
                        "platform": "ios",
                        "timestamp": "2026-01-24T10:30:00Z",
                        "location": {"country": "US", "region": "CA"},
                        "session_id": "s-1",
                    },
                    "request_type": "home_feed",
                    "num_items": 10,
                    "exclude_items": ["85123A"],
                    "filters": {"min_quality_score": 0.0},
                    "diversity_settings": {"category_diversity": 0.3, "creator_diversity": 0.2},
                }
            ]
        }
    )

    user_id: Id
    context: RecommendationContext = RecommendationContext()
    request_type: RequestType = "home_feed"
    num_items: int = Field(DEFAULT_ITEMS, ge=1, le=MAX_COUNT)
    exclude_items: list[Id] = Field([], max_length=500)
    filters: Filters = Filters()
    diversity_settings: DiversitySettings = DiversitySettings()


class SimilarRequest(Model):
    """Asks for what is like an item, to a user's taste where one is named."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "item_id": "85123A",
                    "user_id": "u-17850",
                    "num_items": 10,
                    "similarity_type": "hybrid",
                    "exclude_items": ["22423"],
                }
            ]
        }
    )

    item_id: Id
    user_id: Id | None = Field(None, description="brings what this user likes to the front")
    num_items: int = Field(DEFAULT_SIMILAR, ge=1, le=MAX_COUNT)
    similarity_type: SimilarityType = Field(
        "hybrid", description="content: alike in itself; collaborative: met together; or both"
    )
    exclude_items: list[Id] = Field([], max_length=500)
    filters: Filters = Filters()
