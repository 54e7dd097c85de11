"""Records as jobs would emit them, with only what a test is about to be said."""

from typing import Any

import numpy as np

from schemas.types import (
    BanditPosterior,
    Embedding,
    EmbeddingUpdate,
    Interaction,
    ItemEngagement,
    ItemEvent,
    ItemNeighbors,
    ItemPopularity,
    ItemSnapshot,
    UserSnapshot,
)
from stores.views import Vector

NOW_MS = 1_790_000_000_000


def user_snapshot(user_id: str, version: int, **more: Any) -> UserSnapshot:
    at_ms = NOW_MS + version
    defaults: dict[str, Any] = {
        "timestamp_ms": at_ms,
        "log_time_ms": at_ms,
        "first_seen_ms": NOW_MS,
        "total_interactions": version,
        "total_sessions": 1,
        "session_id": f"session-{user_id}",
        "session_start_ms": NOW_MS,
        "session_interactions": version,
        "interaction": interaction(f"{user_id}-{version}", at_ms=at_ms),
    }
    return UserSnapshot(user_id=user_id, version=version, **(defaults | more))


def interaction(event_id: str, *, at_ms: int = NOW_MS, **more: Any) -> Interaction:
    defaults: dict[str, Any] = {"event_type": "click", "item_id": "i1", "timestamp_ms": at_ms}
    return Interaction(event_id=event_id, **(defaults | more))


def embedding_update(user_id: str, version: int, vector: Vector | None = None) -> EmbeddingUpdate:
    chosen = unit(version) if vector is None else vector
    return EmbeddingUpdate(
        user_id=user_id,
        timestamp_ms=NOW_MS + version,
        embedding=Embedding(vector=chosen.tobytes(), version=version),
    )


def item_event(item_id: str, **more: Any) -> ItemEvent:
    defaults: dict[str, Any] = {"updated_at_ms": NOW_MS, "title": f"Title of {item_id}"}
    return ItemEvent(item_id=item_id, **(defaults | more))


def item_snapshot(item_id: str, version: int, **more: Any) -> ItemSnapshot:
    defaults: dict[str, Any] = {
        "timestamp_ms": NOW_MS,
        "log_time_ms": NOW_MS + version,
        "catalog": item_event(item_id),
        "vector": unit(version).tobytes(),
        "unified": unit(version, dim=1024).tobytes(),
        "modalities": ("text",),
    }
    return ItemSnapshot(item_id=item_id, version=version, **(defaults | more))


def item_popularity(item_id: str, version: int, **more: Any) -> ItemPopularity:
    defaults: dict[str, Any] = {
        "timestamp_ms": NOW_MS,
        "log_time_ms": NOW_MS + version,
        "popularity": float(version),
        "popularity_at_ms": NOW_MS,
        "trending": float(version),
        "total_events": version,
    }
    return ItemPopularity(item_id=item_id, version=version, **(defaults | more))


def bandit_posterior(
    item_id: str, version: int, segment: str = "mobile_us_evening", **more: Any
) -> BanditPosterior:
    defaults: dict[str, Any] = {
        "timestamp_ms": NOW_MS,
        "log_time_ms": NOW_MS + version,
        "alpha": 1.0 + version,
        "beta": 2.0,
        "total_impressions": version,
    }
    return BanditPosterior(
        item_id=item_id, context_segment=segment, version=version, **(defaults | more)
    )


def item_engagement(item_id: str, version: int, **trends: float) -> ItemEngagement:
    """With weights in trends named like `all_1h`."""
    return ItemEngagement(
        item_id=item_id,
        version=version,
        timestamp_ms=NOW_MS,
        log_time_ms=NOW_MS + version,
        views_24h=4,
        clicks_24h=1,
        trends=tuple(name.replace("_", ":") for name in trends),
        trending=tuple(trends.values()),
    )


def item_neighbors(item_id: str, version: int, **scores: float) -> ItemNeighbors:
    return ItemNeighbors(
        item_id=item_id,
        version=version,
        timestamp_ms=NOW_MS,
        log_time_ms=NOW_MS + version,
        neighbors=tuple(scores),
        scores=tuple(scores.values()),
    )


def deleted_item(item_id: str, version: int) -> ItemSnapshot:
    return item_snapshot(item_id, version, deleted=True, catalog=None, vector=None, unified=None)


def unit(seed: int, *, dim: int = 512) -> Vector:
    """A unit vector, another one for every seed."""
    vector = np.random.default_rng(seed).standard_normal(dim).astype("<f4")
    scaled: Vector = vector / np.linalg.norm(vector)
    return scaled
