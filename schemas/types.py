"""Records as Python values, written by `python -m schemas.generate`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self


class Record(Protocol):
    """What every generated type can do."""

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        ...

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        ...


EventType = Literal[
    "view",
    "click",
    "like",
    "share",
    "add_to_cart",
    "purchase",
    "skip",
    "dismiss",
    "scroll",
    "dwell",
    "search",
    "review",
    "preference_update",
    "context_change",
    "emotional_shift",
    "explicit_feedback",
    "unknown",
    "erase",
]

Direction = Literal["positive", "negative"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPayload:
    """What the signal types carry beside an item."""

    category: str | None = None
    direction: Direction | None = None
    strength: float | None = None
    sentiment_delta: float | None = None
    frustration_delta: float | None = None
    velocity_change: float | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "category": self.category,
            "direction": self.direction,
            "strength": self.strength,
            "sentiment_delta": self.sentiment_delta,
            "frustration_delta": self.frustration_delta,
            "velocity_change": self.velocity_change,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            category=record["category"],
            direction=record["direction"],
            strength=record["strength"],
            sentiment_delta=record["sentiment_delta"],
            frustration_delta=record["frustration_delta"],
            velocity_change=record["velocity_change"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """Something a user did, said or met. Topic user-events, keyed by user_id."""

    event_id: str
    user_id: str
    event_type: EventType
    timestamp_ms: int
    item_id: str | None = None
    session_id: str | None = None
    duration_ms: int | None = None
    completion_rate: float | None = None
    position: int | None = None
    request_id: str | None = None
    quantity: int | None = None
    price: float | None = None
    text: str | None = None
    reward_override: float | None = None
    page_type: str | None = None
    surface: str | None = None
    device_type: str | None = None
    platform: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    model_version: str | None = None
    experiment_id: str | None = None
    variant: str | None = None
    consent: bool | None = None
    signal: SignalPayload | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "event_id": self.event_id,
            "user_id": self.user_id,
            "event_type": self.event_type,
            "timestamp_ms": self.timestamp_ms,
            "item_id": self.item_id,
            "session_id": self.session_id,
            "duration_ms": self.duration_ms,
            "completion_rate": self.completion_rate,
            "position": self.position,
            "request_id": self.request_id,
            "quantity": self.quantity,
            "price": self.price,
            "text": self.text,
            "reward_override": self.reward_override,
            "page_type": self.page_type,
            "surface": self.surface,
            "device_type": self.device_type,
            "platform": self.platform,
            "country": self.country,
            "region": self.region,
            "city": self.city,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "model_version": self.model_version,
            "experiment_id": self.experiment_id,
            "variant": self.variant,
            "consent": self.consent,
            "signal": self.signal.to_record() if self.signal is not None else None,
            "context": self.context,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            event_id=record["event_id"],
            user_id=record["user_id"],
            event_type=record["event_type"],
            timestamp_ms=record["timestamp_ms"],
            item_id=record["item_id"],
            session_id=record["session_id"],
            duration_ms=record["duration_ms"],
            completion_rate=record["completion_rate"],
            position=record["position"],
            request_id=record["request_id"],
            quantity=record["quantity"],
            price=record["price"],
            text=record["text"],
            reward_override=record["reward_override"],
            page_type=record["page_type"],
            surface=record["surface"],
            device_type=record["device_type"],
            platform=record["platform"],
            country=record["country"],
            region=record["region"],
            city=record["city"],
            latitude=record["latitude"],
            longitude=record["longitude"],
            model_version=record["model_version"],
            experiment_id=record["experiment_id"],
            variant=record["variant"],
            consent=record["consent"],
            signal=SignalPayload.from_record(record["signal"])
            if record["signal"] is not None
            else None,
            context=record["context"],
        )


ItemOperation = Literal["upsert", "delete"]

Availability = Literal["in_stock", "limited", "out_of_stock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEvent:
    """A change of the catalogue. Topic items, keyed by item_id."""

    item_id: str
    operation: ItemOperation = "upsert"
    updated_at_ms: int
    external_id: str | None = None
    item_type: str = "product"
    title: str = ""
    description: str = ""
    category_id: str | None = None
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    creator_id: str | None = None
    brand_id: str | None = None
    language: str | None = None
    content_rating: str | None = None
    price: float | None = None
    availability: Availability = "in_stock"
    is_active: bool = True
    visibility: str = "public"
    created_at_ms: int | None = None
    published_at_ms: int | None = None
    image_url: str | None = None
    popularity_score: float = 0.0
    quality_score: float = 0.0
    freshness_score: float = 1.0
    text_embedding: bytes | None = None
    image_embedding: bytes | None = None
    audio_embedding: bytes | None = None
    video_embedding: bytes | None = None
    embedding_space: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "operation": self.operation,
            "updated_at_ms": self.updated_at_ms,
            "external_id": self.external_id,
            "item_type": self.item_type,
            "title": self.title,
            "description": self.description,
            "category_id": self.category_id,
            "categories": list(self.categories),
            "tags": list(self.tags),
            "creator_id": self.creator_id,
            "brand_id": self.brand_id,
            "language": self.language,
            "content_rating": self.content_rating,
            "price": self.price,
            "availability": self.availability,
            "is_active": self.is_active,
            "visibility": self.visibility,
            "created_at_ms": self.created_at_ms,
            "published_at_ms": self.published_at_ms,
            "image_url": self.image_url,
            "popularity_score": self.popularity_score,
            "quality_score": self.quality_score,
            "freshness_score": self.freshness_score,
            "text_embedding": self.text_embedding,
            "image_embedding": self.image_embedding,
            "audio_embedding": self.audio_embedding,
            "video_embedding": self.video_embedding,
            "embedding_space": self.embedding_space,
            "metadata": self.metadata,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            operation=record["operation"],
            updated_at_ms=record["updated_at_ms"],
            external_id=record["external_id"],
            item_type=record["item_type"],
            title=record["title"],
            description=record["description"],
            category_id=record["category_id"],
            categories=tuple(record["categories"]),
            tags=tuple(record["tags"]),
            creator_id=record["creator_id"],
            brand_id=record["brand_id"],
            language=record["language"],
            content_rating=record["content_rating"],
            price=record["price"],
            availability=record["availability"],
            is_active=record["is_active"],
            visibility=record["visibility"],
            created_at_ms=record["created_at_ms"],
            published_at_ms=record["published_at_ms"],
            image_url=record["image_url"],
            popularity_score=record["popularity_score"],
            quality_score=record["quality_score"],
            freshness_score=record["freshness_score"],
            text_embedding=record["text_embedding"],
            image_embedding=record["image_embedding"],
            audio_embedding=record["audio_embedding"],
            video_embedding=record["video_embedding"],
            embedding_space=record["embedding_space"],
            metadata=record["metadata"],
        )


CandidateSource = Literal[
    "collaborative",
    "content",
    "trending",
    "exploration",
    "popular",
    "neighbour",
    "repeat",
    "unknown",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownItem:
    """One place of the list."""

    item_id: str
    rank: int
    score: float
    source: CandidateSource
    propensity: float = 1.0
    sampled_value: float | None = None
    uncertainty: float | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "rank": self.rank,
            "score": self.score,
            "source": self.source,
            "propensity": self.propensity,
            "sampled_value": self.sampled_value,
            "uncertainty": self.uncertainty,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            rank=record["rank"],
            score=record["score"],
            source=record["source"],
            propensity=record["propensity"],
            sampled_value=record["sampled_value"],
            uncertainty=record["uncertainty"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The arm of an experiment that the answer was made with."""

    experiment_id: str
    arm: str
    forced: bool = False

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "experiment_id": self.experiment_id,
            "arm": self.arm,
            "forced": self.forced,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            experiment_id=record["experiment_id"],
            arm=record["arm"],
            forced=record["forced"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """One answer, as it was given. Topic personalization-results, keyed by user_id: whoever reacts is found where the showing is known."""

    request_id: str
    user_id: str
    session_id: str | None = None
    timestamp_ms: int
    page_type: str | None = None
    placement: str | None = None
    device: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    context_segment: str = ""
    context_features: tuple[float, ...] = ()
    items: tuple[ShownItem, ...] = ()
    tier: str = "origin"
    cache_hit: bool = False
    exploration_applied: bool = False
    exploration_rate: float = 0.0
    model_version: str = ""
    experiment_id: str | None = None
    variant: str | None = None
    user_version: int = 0
    fallbacks: tuple[str, ...] = ()
    latency_ms: float = 0.0
    experiments: tuple[Exposure, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "request_id": self.request_id,
            "user_id": self.user_id,
            "session_id": self.session_id,
            "timestamp_ms": self.timestamp_ms,
            "page_type": self.page_type,
            "placement": self.placement,
            "device": self.device,
            "country": self.country,
            "region": self.region,
            "city": self.city,
            "context_segment": self.context_segment,
            "context_features": list(self.context_features),
            "items": [part.to_record() for part in self.items],
            "tier": self.tier,
            "cache_hit": self.cache_hit,
            "exploration_applied": self.exploration_applied,
            "exploration_rate": self.exploration_rate,
            "model_version": self.model_version,
            "experiment_id": self.experiment_id,
            "variant": self.variant,
            "user_version": self.user_version,
            "fallbacks": list(self.fallbacks),
            "latency_ms": self.latency_ms,
            "experiments": [part.to_record() for part in self.experiments],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            request_id=record["request_id"],
            user_id=record["user_id"],
            session_id=record["session_id"],
            timestamp_ms=record["timestamp_ms"],
            page_type=record["page_type"],
            placement=record["placement"],
            device=record["device"],
            country=record["country"],
            region=record["region"],
            city=record["city"],
            context_segment=record["context_segment"],
            context_features=tuple(record["context_features"]),
            items=tuple(ShownItem.from_record(part) for part in record["items"]),
            tier=record["tier"],
            cache_hit=record["cache_hit"],
            exploration_applied=record["exploration_applied"],
            exploration_rate=record["exploration_rate"],
            model_version=record["model_version"],
            experiment_id=record["experiment_id"],
            variant=record["variant"],
            user_version=record["user_version"],
            fallbacks=tuple(record["fallbacks"]),
            latency_ms=record["latency_ms"],
            experiments=tuple(Exposure.from_record(part) for part in record["experiments"]),
        )


EmbeddingSource = Literal["streaming", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A vector with its version."""

    vector: bytes
    version: int
    source: EmbeddingSource = "streaming"
    space: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "vector": self.vector,
            "version": self.version,
            "source": self.source,
            "space": self.space,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            vector=record["vector"],
            version=record["version"],
            source=record["source"],
            space=record["space"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The event behind it."""

    interaction_id: str
    action: str
    item_id: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "interaction_id": self.interaction_id,
            "action": self.action,
            "item_id": self.item_id,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            interaction_id=record["interaction_id"],
            action=record["action"],
            item_id=record["item_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingUpdate:
    """A user's vector after an event. Topic embedding-updates, keyed by user_id."""

    user_id: str
    event_type: str = "embedding_update"
    timestamp_ms: int
    embedding: Embedding
    trigger: Trigger | None = None
    erased: bool = False
    log_time_ms: int = 0
    day_vector: bytes = b""
    session_vector: bytes = b""
    session_number: int = 0
    recompute_due: bool = False

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "user_id": self.user_id,
            "event_type": self.event_type,
            "timestamp_ms": self.timestamp_ms,
            "embedding": self.embedding.to_record(),
            "trigger": self.trigger.to_record() if self.trigger is not None else None,
            "erased": self.erased,
            "log_time_ms": self.log_time_ms,
            "day_vector": self.day_vector,
            "session_vector": self.session_vector,
            "session_number": self.session_number,
            "recompute_due": self.recompute_due,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            user_id=record["user_id"],
            event_type=record["event_type"],
            timestamp_ms=record["timestamp_ms"],
            embedding=Embedding.from_record(record["embedding"]),
            trigger=Trigger.from_record(record["trigger"])
            if record["trigger"] is not None
            else None,
            erased=record["erased"],
            log_time_ms=record["log_time_ms"],
            day_vector=record["day_vector"],
            session_vector=record["session_vector"],
            session_number=record["session_number"],
            recompute_due=record["recompute_due"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditUpdate:
    """One reward for an item in a segment. Topic bandit-updates, keyed by item_id:context_segment."""

    update_id: str
    item_id: str
    context_segment: str
    reward: float
    context_features: tuple[float, ...] = ()
    timestamp_ms: int
    user_id: str | None = None
    request_id: str | None = None
    position: int | None = None
    propensity: float | None = None
    action: str | None = None
    previous_reward: float | None = None
    explored: bool | None = None
    log_time_ms: int = 0

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "update_id": self.update_id,
            "item_id": self.item_id,
            "context_segment": self.context_segment,
            "reward": self.reward,
            "context_features": list(self.context_features),
            "timestamp_ms": self.timestamp_ms,
            "user_id": self.user_id,
            "request_id": self.request_id,
            "position": self.position,
            "propensity": self.propensity,
            "action": self.action,
            "previous_reward": self.previous_reward,
            "explored": self.explored,
            "log_time_ms": self.log_time_ms,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            update_id=record["update_id"],
            item_id=record["item_id"],
            context_segment=record["context_segment"],
            reward=record["reward"],
            context_features=tuple(record["context_features"]),
            timestamp_ms=record["timestamp_ms"],
            user_id=record["user_id"],
            request_id=record["request_id"],
            position=record["position"],
            propensity=record["propensity"],
            action=record["action"],
            previous_reward=record["previous_reward"],
            explored=record["explored"],
            log_time_ms=record["log_time_ms"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditPosterior:
    """What the rewards of an item in a segment have taught so far. Topic bandit-posteriors, keyed by item_id:context_segment."""

    item_id: str
    context_segment: str
    version: int
    timestamp_ms: int
    log_time_ms: int
    alpha: float
    beta: float
    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    weights: bytes = b""
    variances: bytes = b""
    total_impressions: int = 0
    total_rewards: int = 0
    exploration_count: int = 0
    exploitation_count: int = 0

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "context_segment": self.context_segment,
            "version": self.version,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "alpha": self.alpha,
            "beta": self.beta,
            "prior_alpha": self.prior_alpha,
            "prior_beta": self.prior_beta,
            "weights": self.weights,
            "variances": self.variances,
            "total_impressions": self.total_impressions,
            "total_rewards": self.total_rewards,
            "exploration_count": self.exploration_count,
            "exploitation_count": self.exploitation_count,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            context_segment=record["context_segment"],
            version=record["version"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            alpha=record["alpha"],
            beta=record["beta"],
            prior_alpha=record["prior_alpha"],
            prior_beta=record["prior_beta"],
            weights=record["weights"],
            variances=record["variances"],
            total_impressions=record["total_impressions"],
            total_rewards=record["total_rewards"],
            exploration_count=record["exploration_count"],
            exploitation_count=record["exploitation_count"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that a job could not use, and why. Topic dead-letters, keyed by its origin."""

    topic: str
    partition: int
    offset: int
    log_time_ms: int
    key: bytes | None = None
    payload: bytes
    payload_size: int
    reason: str
    detail: str
    job: str

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "log_time_ms": self.log_time_ms,
            "key": self.key,
            "payload": self.payload,
            "payload_size": self.payload_size,
            "reason": self.reason,
            "detail": self.detail,
            "job": self.job,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            topic=record["topic"],
            partition=record["partition"],
            offset=record["offset"],
            log_time_ms=record["log_time_ms"],
            key=record["key"],
            payload=record["payload"],
            payload_size=record["payload_size"],
            reason=record["reason"],
            detail=record["detail"],
            job=record["job"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """The event behind the snapshot."""

    event_id: str
    event_type: str
    timestamp_ms: int
    item_id: str | None = None
    duration_ms: int | None = None
    position: int | None = None
    request_id: str | None = None
    text: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "timestamp_ms": self.timestamp_ms,
            "item_id": self.item_id,
            "duration_ms": self.duration_ms,
            "position": self.position,
            "request_id": self.request_id,
            "text": self.text,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            event_id=record["event_id"],
            event_type=record["event_type"],
            timestamp_ms=record["timestamp_ms"],
            item_id=record["item_id"],
            duration_ms=record["duration_ms"],
            position=record["position"],
            request_id=record["request_id"],
            text=record["text"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSnapshot:
    """What is known of a user after an event, all but the vector. Topic user-snapshots, keyed by user_id."""

    user_id: str
    version: int
    timestamp_ms: int
    log_time_ms: int
    first_seen_ms: int
    total_interactions: int
    total_sessions: int
    session_id: str | None = None
    session_start_ms: int = 0
    session_interactions: int = 0
    device_type: str | None = None
    page_type: str | None = None
    country: str | None = None
    consent: bool = True
    windows: bytes = b""
    embedding_version: int = 0
    interaction: Interaction
    erased: bool = False
    affinities: bytes = b""
    emotion: bytes = b""
    session_last_ms: int = 0

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "user_id": self.user_id,
            "version": self.version,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "first_seen_ms": self.first_seen_ms,
            "total_interactions": self.total_interactions,
            "total_sessions": self.total_sessions,
            "session_id": self.session_id,
            "session_start_ms": self.session_start_ms,
            "session_interactions": self.session_interactions,
            "device_type": self.device_type,
            "page_type": self.page_type,
            "country": self.country,
            "consent": self.consent,
            "windows": self.windows,
            "embedding_version": self.embedding_version,
            "interaction": self.interaction.to_record(),
            "erased": self.erased,
            "affinities": self.affinities,
            "emotion": self.emotion,
            "session_last_ms": self.session_last_ms,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            user_id=record["user_id"],
            version=record["version"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            first_seen_ms=record["first_seen_ms"],
            total_interactions=record["total_interactions"],
            total_sessions=record["total_sessions"],
            session_id=record["session_id"],
            session_start_ms=record["session_start_ms"],
            session_interactions=record["session_interactions"],
            device_type=record["device_type"],
            page_type=record["page_type"],
            country=record["country"],
            consent=record["consent"],
            windows=record["windows"],
            embedding_version=record["embedding_version"],
            interaction=Interaction.from_record(record["interaction"]),
            erased=record["erased"],
            affinities=record["affinities"],
            emotion=record["emotion"],
            session_last_ms=record["session_last_ms"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSignal:
    """An accepted event, seen from its item. Topic item-signals, keyed by item_id."""

    item_id: str
    event_id: str
    user_id: str
    event_type: str
    timestamp_ms: int
    log_time_ms: int
    device_type: str | None = None
    country: str | None = None
    price: float | None = None
    quantity: int | None = None
    duration_ms: int | None = None
    completion_rate: float | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "event_id": self.event_id,
            "user_id": self.user_id,
            "event_type": self.event_type,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "device_type": self.device_type,
            "country": self.country,
            "price": self.price,
            "quantity": self.quantity,
            "duration_ms": self.duration_ms,
            "completion_rate": self.completion_rate,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            event_id=record["event_id"],
            user_id=record["user_id"],
            event_type=record["event_type"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            device_type=record["device_type"],
            country=record["country"],
            price=record["price"],
            quantity=record["quantity"],
            duration_ms=record["duration_ms"],
            completion_rate=record["completion_rate"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSnapshot:
    """The catalogue's side of an item. Topic item-snapshots, keyed by item_id."""

    item_id: str
    version: int
    timestamp_ms: int
    log_time_ms: int
    deleted: bool = False
    catalog: ItemEvent | None = None
    vector: bytes | None = None
    unified: bytes | None = None
    modalities: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "version": self.version,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "deleted": self.deleted,
            "catalog": self.catalog.to_record() if self.catalog is not None else None,
            "vector": self.vector,
            "unified": self.unified,
            "modalities": list(self.modalities),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            version=record["version"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            deleted=record["deleted"],
            catalog=ItemEvent.from_record(record["catalog"])
            if record["catalog"] is not None
            else None,
            vector=record["vector"],
            unified=record["unified"],
            modalities=tuple(record["modalities"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPopularity:
    """How much is going on around an item: what moves with each event. Topic item-popularity, keyed by item_id."""

    item_id: str
    version: int
    timestamp_ms: int
    log_time_ms: int
    popularity: float = 0.0
    popularity_at_ms: int = 0
    trending: float = 0.0
    total_events: int = 0

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "version": self.version,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "popularity": self.popularity,
            "popularity_at_ms": self.popularity_at_ms,
            "trending": self.trending,
            "total_events": self.total_events,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            version=record["version"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            popularity=record["popularity"],
            popularity_at_ms=record["popularity_at_ms"],
            trending=record["trending"],
            total_events=record["total_events"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPair:
    """An item met in one session with others: what each adds to its neighbours. Topic item-pairs, keyed by item_id."""

    item_id: str
    event_id: str
    timestamp_ms: int
    log_time_ms: int
    others: tuple[str, ...]
    weights: tuple[float, ...]

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "event_id": self.event_id,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "others": list(self.others),
            "weights": list(self.weights),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            event_id=record["event_id"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            others=tuple(record["others"]),
            weights=tuple(record["weights"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemNeighbors:
    """The items that are met beside an item, best first. Topic item-neighbors, keyed by item_id."""

    item_id: str
    version: int
    timestamp_ms: int
    log_time_ms: int
    neighbors: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    half_lives_ms: tuple[int, ...] = ()
    half_life_shares: tuple[float, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "version": self.version,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "neighbors": list(self.neighbors),
            "scores": list(self.scores),
            "half_lives_ms": list(self.half_lives_ms),
            "half_life_shares": list(self.half_life_shares),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            version=record["version"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            neighbors=tuple(record["neighbors"]),
            scores=tuple(record["scores"]),
            half_lives_ms=tuple(record["half_lives_ms"]),
            half_life_shares=tuple(record["half_life_shares"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEngagement:
    """What people did with an item, and where it trends; at most once a second an item. Topic item-engagement, keyed by item_id."""

    item_id: str
    version: int
    timestamp_ms: int
    log_time_ms: int
    views: int = 0
    clicks: int = 0
    conversions: int = 0
    carts: int = 0
    dismissals: int = 0
    avg_dwell_ms: float = 0.0
    avg_completion_rate: float = 0.0
    ctr: float = 0.0
    cvr: float = 0.0
    views_1h: int = 0
    clicks_1h: int = 0
    conversions_1h: int = 0
    views_24h: int = 0
    clicks_24h: int = 0
    conversions_24h: int = 0
    trends: tuple[str, ...] = ()
    trending: tuple[float, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "version": self.version,
            "timestamp_ms": self.timestamp_ms,
            "log_time_ms": self.log_time_ms,
            "views": self.views,
            "clicks": self.clicks,
            "conversions": self.conversions,
            "carts": self.carts,
            "dismissals": self.dismissals,
            "avg_dwell_ms": self.avg_dwell_ms,
            "avg_completion_rate": self.avg_completion_rate,
            "ctr": self.ctr,
            "cvr": self.cvr,
            "views_1h": self.views_1h,
            "clicks_1h": self.clicks_1h,
            "conversions_1h": self.conversions_1h,
            "views_24h": self.views_24h,
            "clicks_24h": self.clicks_24h,
            "conversions_24h": self.conversions_24h,
            "trends": list(self.trends),
            "trending": list(self.trending),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            version=record["version"],
            timestamp_ms=record["timestamp_ms"],
            log_time_ms=record["log_time_ms"],
            views=record["views"],
            clicks=record["clicks"],
            conversions=record["conversions"],
            carts=record["carts"],
            dismissals=record["dismissals"],
            avg_dwell_ms=record["avg_dwell_ms"],
            avg_completion_rate=record["avg_completion_rate"],
            ctr=record["ctr"],
            cvr=record["cvr"],
            views_1h=record["views_1h"],
            clicks_1h=record["clicks_1h"],
            conversions_1h=record["conversions_1h"],
            views_24h=record["views_24h"],
            clicks_24h=record["clicks_24h"],
            conversions_24h=record["conversions_24h"],
            trends=tuple(record["trends"]),
            trending=tuple(record["trending"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedArm:
    """An experiment's arm, with what it changed then."""

    experiment_id: str
    arm: str
    forced: bool
    posteriors: str
    exploration_rate: float | None = None
    diversity_weight: float | None = None
    policy: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "experiment_id": self.experiment_id,
            "arm": self.arm,
            "forced": self.forced,
            "posteriors": self.posteriors,
            "exploration_rate": self.exploration_rate,
            "diversity_weight": self.diversity_weight,
            "policy": self.policy,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            experiment_id=record["experiment_id"],
            arm=record["arm"],
            forced=record["forced"],
            posteriors=record["posteriors"],
            exploration_rate=record["exploration_rate"],
            diversity_weight=record["diversity_weight"],
            policy=record["policy"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedUser:
    """The user as the stages saw them."""

    version: int
    log_time_ms: int
    timestamp_ms: int
    consent: bool
    session_id: str | None = None
    session_start_ms: int
    session_interactions: int
    device_type: str | None = None
    country: str | None = None
    emotion: bytes
    has_vector: bool
    embedding_version: int
    has_taste: bool
    views_5m: int
    clicks_5m: int
    events_1h: int
    events_24h: int
    interactions: int
    last_event_ms: int | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "version": self.version,
            "log_time_ms": self.log_time_ms,
            "timestamp_ms": self.timestamp_ms,
            "consent": self.consent,
            "session_id": self.session_id,
            "session_start_ms": self.session_start_ms,
            "session_interactions": self.session_interactions,
            "device_type": self.device_type,
            "country": self.country,
            "emotion": self.emotion,
            "has_vector": self.has_vector,
            "embedding_version": self.embedding_version,
            "has_taste": self.has_taste,
            "views_5m": self.views_5m,
            "clicks_5m": self.clicks_5m,
            "events_1h": self.events_1h,
            "events_24h": self.events_24h,
            "interactions": self.interactions,
            "last_event_ms": self.last_event_ms,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            version=record["version"],
            log_time_ms=record["log_time_ms"],
            timestamp_ms=record["timestamp_ms"],
            consent=record["consent"],
            session_id=record["session_id"],
            session_start_ms=record["session_start_ms"],
            session_interactions=record["session_interactions"],
            device_type=record["device_type"],
            country=record["country"],
            emotion=record["emotion"],
            has_vector=record["has_vector"],
            embedding_version=record["embedding_version"],
            has_taste=record["has_taste"],
            views_5m=record["views_5m"],
            clicks_5m=record["clicks_5m"],
            events_1h=record["events_1h"],
            events_24h=record["events_24h"],
            interactions=record["interactions"],
            last_event_ms=record["last_event_ms"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedPlace:
    """A place of the list, and what was shown there."""

    item_id: str
    index: int
    propensity: float
    explored: bool
    belief: int
    shown: bool
    title: str
    category: str | None = None
    price: float | None = None
    image_url: str | None = None
    trending: int
    popular: int
    written: str | None = None

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "index": self.index,
            "propensity": self.propensity,
            "explored": self.explored,
            "belief": self.belief,
            "shown": self.shown,
            "title": self.title,
            "category": self.category,
            "price": self.price,
            "image_url": self.image_url,
            "trending": self.trending,
            "popular": self.popular,
            "written": self.written,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            index=record["index"],
            propensity=record["propensity"],
            explored=record["explored"],
            belief=record["belief"],
            shown=record["shown"],
            title=record["title"],
            category=record["category"],
            price=record["price"],
            image_url=record["image_url"],
            trending=record["trending"],
            popular=record["popular"],
            written=record["written"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTrace:
    """What an answer was made of. Redis, trace:answer:REQUEST_ID, for serving.traces_s."""

    request_id: str
    user_id: str
    shape: str
    digest: bytes
    request: str
    now_ms: int
    policy: str
    policy_weight: float
    arms: tuple[TracedArm, ...]
    ranking: str
    cached: bool
    fallbacks: tuple[str, ...]
    latency_ms: float
    steps: str
    catalogue_version: int
    user: TracedUser
    history: bytes
    segment: str
    alpha: bytes
    beta: bytes
    context_logits: bytes
    versions: bytes
    lacking: str | None = None
    places: tuple[TracedPlace, ...]

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "request_id": self.request_id,
            "user_id": self.user_id,
            "shape": self.shape,
            "digest": self.digest,
            "request": self.request,
            "now_ms": self.now_ms,
            "policy": self.policy,
            "policy_weight": self.policy_weight,
            "arms": [part.to_record() for part in self.arms],
            "ranking": self.ranking,
            "cached": self.cached,
            "fallbacks": list(self.fallbacks),
            "latency_ms": self.latency_ms,
            "steps": self.steps,
            "catalogue_version": self.catalogue_version,
            "user": self.user.to_record(),
            "history": self.history,
            "segment": self.segment,
            "alpha": self.alpha,
            "beta": self.beta,
            "context_logits": self.context_logits,
            "versions": self.versions,
            "lacking": self.lacking,
            "places": [part.to_record() for part in self.places],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            request_id=record["request_id"],
            user_id=record["user_id"],
            shape=record["shape"],
            digest=record["digest"],
            request=record["request"],
            now_ms=record["now_ms"],
            policy=record["policy"],
            policy_weight=record["policy_weight"],
            arms=tuple(TracedArm.from_record(part) for part in record["arms"]),
            ranking=record["ranking"],
            cached=record["cached"],
            fallbacks=tuple(record["fallbacks"]),
            latency_ms=record["latency_ms"],
            steps=record["steps"],
            catalogue_version=record["catalogue_version"],
            user=TracedUser.from_record(record["user"]),
            history=record["history"],
            segment=record["segment"],
            alpha=record["alpha"],
            beta=record["beta"],
            context_logits=record["context_logits"],
            versions=record["versions"],
            lacking=record["lacking"],
            places=tuple(TracedPlace.from_record(part) for part in record["places"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingTrace:
    """The candidates that a list was chosen from. Redis, trace:ranking:REQUEST_ID of the first answer made of it."""

    made_ms: int
    at_ms: int
    model_version: str
    cold: bool
    ids: tuple[str, ...]
    source_names: tuple[str, ...]
    sources: bytes
    category_names: tuple[str, ...]
    categories: bytes
    scores: bytes
    freshness: bytes
    price_affinity: bytes
    prices: bytes
    novel: bytes
    reserve: bytes
    traits: Mapping[str, bytes]
    vectors: bytes
    feature_names: tuple[str, ...]
    features: tuple[bytes, ...]

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "made_ms": self.made_ms,
            "at_ms": self.at_ms,
            "model_version": self.model_version,
            "cold": self.cold,
            "ids": list(self.ids),
            "source_names": list(self.source_names),
            "sources": self.sources,
            "category_names": list(self.category_names),
            "categories": self.categories,
            "scores": self.scores,
            "freshness": self.freshness,
            "price_affinity": self.price_affinity,
            "prices": self.prices,
            "novel": self.novel,
            "reserve": self.reserve,
            "traits": self.traits,
            "vectors": self.vectors,
            "feature_names": list(self.feature_names),
            "features": list(self.features),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            made_ms=record["made_ms"],
            at_ms=record["at_ms"],
            model_version=record["model_version"],
            cold=record["cold"],
            ids=tuple(record["ids"]),
            source_names=tuple(record["source_names"]),
            sources=record["sources"],
            category_names=tuple(record["category_names"]),
            categories=record["categories"],
            scores=record["scores"],
            freshness=record["freshness"],
            price_affinity=record["price_affinity"],
            prices=record["prices"],
            novel=record["novel"],
            reserve=record["reserve"],
            traits=record["traits"],
            vectors=record["vectors"],
            feature_names=tuple(record["feature_names"]),
            features=tuple(record["features"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedMet:
    """A recent interaction, as far as the answer followed from it."""

    item_id: str
    event: int
    action: str
    at_ms: int
    category: str | None = None
    price: float | None = None
    title: str | None = None
    vector: int

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "item_id": self.item_id,
            "event": self.event,
            "action": self.action,
            "at_ms": self.at_ms,
            "category": self.category,
            "price": self.price,
            "title": self.title,
            "vector": self.vector,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            item_id=record["item_id"],
            event=record["event"],
            action=record["action"],
            at_ms=record["at_ms"],
            category=record["category"],
            price=record["price"],
            title=record["title"],
            vector=record["vector"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTrace:
    """What the user did lately, as the stages saw it. Deflated in an AnswerTrace."""

    category_share: Mapping[str, float]
    met: tuple[TracedMet, ...]

    def to_record(self) -> dict[str, Any]:
        """The fields as plain data, as Avro writes them."""
        return {
            "category_share": self.category_share,
            "met": [part.to_record() for part in self.met],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The value of plain data that Avro has read."""
        return cls(
            category_share=record["category_share"],
            met=tuple(TracedMet.from_record(part) for part in record["met"]),
        )


RECORD_NAMES: Mapping[type[Record], str] = {
    UserEvent: "user_event",
    ItemEvent: "item_event",
    Impression: "impression",
    EmbeddingUpdate: "embedding_update",
    BanditUpdate: "bandit_update",
    BanditPosterior: "bandit_posterior",
    DeadLetter: "dead_letter",
    UserSnapshot: "user_snapshot",
    ItemSignal: "item_signal",
    ItemSnapshot: "item_snapshot",
    ItemPopularity: "item_popularity",
    ItemPair: "item_pair",
    ItemNeighbors: "item_neighbors",
    ItemEngagement: "item_engagement",
    AnswerTrace: "answer_trace",
    RankingTrace: "ranking_trace",
    HistoryTrace: "history_trace",
}
