"""Document 001's way to ask for a list, and its way to answer, around the one pipeline."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from serving.catalog import Catalog
from serving.errors import ApiError
from serving.recommendation_requests import (
    DiversitySettings,
    RecommendationContext,
    RecommendationRequest,
)
from serving.requests import (
    DEFAULT_DIVERSITY_WEIGHT,
    Constraints,
    Context,
    Geo,
    Options,
    PersonalizeRequest,
)
from serving.stages import answer
from serving.trace import Trace

# Epsilon of the document's algorithm 4, whose requests can't choose another.
EXPLORATION_RATE = 0.05

# Where the time of a stage is counted; every other stage is part of ranking.
PHASES = {
    "admit": "other",
    "answer": "other",
    "context": "feature_fetch",
    "candidates": "retrieval",
}
SIMILAR_SIGNAL = "_similar"


def personalize_request(request: RecommendationRequest) -> PersonalizeRequest:
    """Say it as the stages understand it; raises `ApiError` where they can't make such a list.

    >>> asked = RecommendationRequest(user_id="u", num_items=5)
    >>> personalize_request(asked).constraints.count
    5
    """
    _require_home_feed(request)
    return PersonalizeRequest(
        user_id=request.user_id,
        session_id=request.context.session_id,
        context=_context(request.context),
        constraints=Constraints(
            count=request.num_items,
            categories=request.filters.categories,
            exclude_items=request.exclude_items,
            min_quality_score=request.filters.min_quality_score,
        ),
        options=Options(
            include_explanation=True,
            exploration_rate=EXPLORATION_RATE,
            diversity_weight=diversity_weight(request.diversity_settings),
        ),
    )


def _require_home_feed(request: RecommendationRequest) -> None:
    if request.request_type == "similar":
        raise _not_offered(
            "similar",
            hint="ask POST /v1/similar with the item_id, and with the user_id if you like",
        )
    if request.request_type == "continue_watching":
        raise _not_offered(
            "continue_watching",
            hint="ask for home_feed: what was begun isn't kept apart from what was finished",
        )


def _not_offered(request_type: str, *, hint: str) -> ApiError:
    return ApiError(
        400,
        "not_offered",
        message=f"request_type is {request_type}, of which this endpoint makes no lists",
        field="request_type",
        hint=hint,
    )


def _context(said: RecommendationContext) -> Context:
    where = Context(
        page_type="home",
        placement="feed",
        device=said.device_type,
        geo=Geo(country=said.location.country, region=said.location.region),
    )
    # A request takes times as text alone, and this one has been read already.
    return where.model_copy(update={"timestamp": said.timestamp})


def diversity_weight(said: DiversitySettings) -> float:
    """The one weight of the stages: variety by likeness serves both wishes, the greater counts.

    >>> diversity_weight(DiversitySettings(category_diversity=0.3, creator_diversity=0.2))
    0.3
    """
    wishes = [one for one in (said.category_diversity, said.creator_diversity) if one is not None]
    return max(wishes, default=DEFAULT_DIVERSITY_WEIGHT)


def body(chosen: answer.Chosen, catalog: Catalog, trace: Trace) -> dict[str, Any]:
    """The answer as document 001 shapes it, from the one of document 000."""
    plain = answer.body(chosen, catalog, trace)
    sources = answer.nearest_met(chosen, catalog)
    return {
        "request_id": plain["request_id"],
        "recommendations": [
            _recommendation(item, source=found[0].item_id if found else None)
            for item, found in zip(plain["items"], sources, strict=True)
        ],
        "metadata": _metadata(plain),
    }


def _recommendation(item: Mapping[str, Any], *, source: str | None) -> dict[str, Any]:
    drawn = item["metadata"]
    return {
        "item_id": item["item_id"],
        "score": item["score"],
        "rank": item["rank"],
        "explanation": _explanation(item["explanation"], source),
        "metadata": {
            "title": drawn["title"],
            "thumbnail_url": drawn["image_url"],
            "category": drawn["category"],
            "price": drawn["price"],
        },
    }


def _explanation(said: Mapping[str, Any], source: str | None) -> dict[str, Any]:
    signals = said["signals"]
    similar = any(signal.endswith(SIMILAR_SIGNAL) for signal in signals)
    return {
        "reason": reason_of(signals[0]),
        "source_items": [source] if similar and source else [],
        "text": said["primary_reason"],
        "llm_generated": said["llm_generated"],
    }


def reason_of(signal: str) -> str:
    """The document's name of a signal: what was done with the like item stands in the text.

    >>> reason_of("clicked_similar"), reason_of("trending")
    ('similar_to_recent', 'trending')
    """
    return "similar_to_recent" if signal.endswith(SIMILAR_SIGNAL) else signal


def _metadata(plain: Mapping[str, Any]) -> dict[str, Any]:
    said = plain["metadata"]
    experiment, variant = next(iter(said["experiments"].items()), (None, None))
    return {
        "model_version": said["model_version"],
        "experiment_id": experiment,
        "variant": variant,
        "retrieval_sources": dict(Counter(item["source"] for item in plain["items"])),
        "latency_ms": latency_of(said["stages_ms"], total=said["latency_ms"]),
        "cold_start": said["cold_start"],
        "fallbacks": said["fallbacks"],
        "versions": said["versions"],
    }


def latency_of(stages_ms: Mapping[str, float], *, total: float) -> dict[str, float]:
    """The document's three phases; what is in none of them is in the total alone.

    >>> latency_of({"context": 1.5, "candidates": 3.0, "rank": 4.0, "rerank": 0.5}, total=9.5)
    {'total': 9.5, 'retrieval': 3.0, 'ranking': 4.5, 'feature_fetch': 1.5}
    """
    spent: Counter[str] = Counter()
    for stage, ms in stages_ms.items():
        # A counter's values are typed as integers, though it adds any numbers.
        spent[PHASES.get(stage, "ranking")] += ms  # type: ignore[assignment]
    phases = {name: round(spent[name], 3) for name in ("retrieval", "ranking", "feature_fetch")}
    return {"total": total, **phases}
