"""Records as Avro's bytes, written by `python -m schemas.generate`."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from schemas import avro_parts as avro
from schemas.types import (
    AnswerTrace,
    Availability,
    BanditPosterior,
    BanditUpdate,
    CandidateSource,
    DeadLetter,
    Direction,
    Embedding,
    EmbeddingSource,
    EmbeddingUpdate,
    EventType,
    Exposure,
    HistoryTrace,
    Impression,
    Interaction,
    ItemEngagement,
    ItemEvent,
    ItemNeighbors,
    ItemOperation,
    ItemPair,
    ItemPopularity,
    ItemSignal,
    ItemSnapshot,
    RankingTrace,
    ShownItem,
    SignalPayload,
    TracedArm,
    TracedMet,
    TracedPlace,
    TracedUser,
    Trigger,
    UserEvent,
    UserSnapshot,
)


class Binary(NamedTuple):
    """How one kind of record is written and read."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes, int], tuple[Any, int]]


_EVENT_TYPE_BYTES: Mapping[EventType, bytes] = {
    "view": b"\x00",
    "click": b"\x02",
    "like": b"\x04",
    "share": b"\x06",
    "add_to_cart": b"\x08",
    "purchase": b"\n",
    "skip": b"\x0c",
    "dismiss": b"\x0e",
    "scroll": b"\x10",
    "dwell": b"\x12",
    "search": b"\x14",
    "review": b"\x16",
    "preference_update": b"\x18",
    "context_change": b"\x1a",
    "emotional_shift": b"\x1c",
    "explicit_feedback": b"\x1e",
    "unknown": b" ",
    "erase": b'"',
}
_EVENT_TYPE_AT: Mapping[int, EventType] = {
    0: "view",
    2: "click",
    4: "like",
    6: "share",
    8: "add_to_cart",
    10: "purchase",
    12: "skip",
    14: "dismiss",
    16: "scroll",
    18: "dwell",
    20: "search",
    22: "review",
    24: "preference_update",
    26: "context_change",
    28: "emotional_shift",
    30: "explicit_feedback",
    32: "unknown",
    34: "erase",
}


def _write_event_type(value: EventType) -> bytes:
    return _EVENT_TYPE_BYTES[value]


def _read_event_type(data: bytes, at: int) -> tuple[EventType, int]:
    return _EVENT_TYPE_AT[data[at]], at + 1


_DIRECTION_BYTES: Mapping[Direction, bytes] = {
    "positive": b"\x00",
    "negative": b"\x02",
}
_DIRECTION_AT: Mapping[int, Direction] = {
    0: "positive",
    2: "negative",
}


def _write_direction(value: Direction) -> bytes:
    return _DIRECTION_BYTES[value]


def _read_direction(data: bytes, at: int) -> tuple[Direction, int]:
    return _DIRECTION_AT[data[at]], at + 1


def _write_signal_payload(value: SignalPayload) -> bytes:
    return b"".join(
        (
            avro.NULL if value.category is None else avro.PRESENT + avro.text(value.category),
            avro.NULL
            if value.direction is None
            else avro.PRESENT + _write_direction(value.direction),
            avro.NULL if value.strength is None else avro.PRESENT + avro.float_(value.strength),
            avro.NULL
            if value.sentiment_delta is None
            else avro.PRESENT + avro.float_(value.sentiment_delta),
            avro.NULL
            if value.frustration_delta is None
            else avro.PRESENT + avro.float_(value.frustration_delta),
            avro.NULL
            if value.velocity_change is None
            else avro.PRESENT + avro.float_(value.velocity_change),
        )
    )


def _read_signal_payload(data: bytes, at: int) -> tuple[SignalPayload, int]:
    category, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    direction, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, _read_direction)
    strength, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    sentiment_delta, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    frustration_delta, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    velocity_change, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    return SignalPayload(
        category=category,
        direction=direction,
        strength=strength,
        sentiment_delta=sentiment_delta,
        frustration_delta=frustration_delta,
        velocity_change=velocity_change,
    ), at


def _write_user_event(value: UserEvent) -> bytes:
    return b"".join(
        (
            avro.text(value.event_id),
            avro.text(value.user_id),
            _write_event_type(value.event_type),
            avro.long(value.timestamp_ms),
            avro.NULL if value.item_id is None else avro.PRESENT + avro.text(value.item_id),
            avro.NULL if value.session_id is None else avro.PRESENT + avro.text(value.session_id),
            avro.NULL if value.duration_ms is None else avro.PRESENT + avro.long(value.duration_ms),
            avro.NULL
            if value.completion_rate is None
            else avro.PRESENT + avro.float_(value.completion_rate),
            avro.NULL if value.position is None else avro.PRESENT + avro.int_(value.position),
            avro.NULL if value.request_id is None else avro.PRESENT + avro.text(value.request_id),
            avro.NULL if value.quantity is None else avro.PRESENT + avro.int_(value.quantity),
            avro.NULL if value.price is None else avro.PRESENT + avro.double(value.price),
            avro.NULL if value.text is None else avro.PRESENT + avro.text(value.text),
            avro.NULL
            if value.reward_override is None
            else avro.PRESENT + avro.float_(value.reward_override),
            avro.NULL if value.page_type is None else avro.PRESENT + avro.text(value.page_type),
            avro.NULL if value.surface is None else avro.PRESENT + avro.text(value.surface),
            avro.NULL if value.device_type is None else avro.PRESENT + avro.text(value.device_type),
            avro.NULL if value.platform is None else avro.PRESENT + avro.text(value.platform),
            avro.NULL if value.country is None else avro.PRESENT + avro.text(value.country),
            avro.NULL if value.region is None else avro.PRESENT + avro.text(value.region),
            avro.NULL if value.city is None else avro.PRESENT + avro.text(value.city),
            avro.NULL if value.latitude is None else avro.PRESENT + avro.double(value.latitude),
            avro.NULL if value.longitude is None else avro.PRESENT + avro.double(value.longitude),
            avro.NULL
            if value.model_version is None
            else avro.PRESENT + avro.text(value.model_version),
            avro.NULL
            if value.experiment_id is None
            else avro.PRESENT + avro.text(value.experiment_id),
            avro.NULL if value.variant is None else avro.PRESENT + avro.text(value.variant),
            avro.NULL if value.consent is None else avro.PRESENT + avro.boolean(value.consent),
            avro.NULL
            if value.signal is None
            else avro.PRESENT + _write_signal_payload(value.signal),
            avro.mapping(value.context, avro.text),
        )
    )


def _read_user_event(data: bytes, at: int) -> tuple[UserEvent, int]:
    event_id, at = avro.read_text(data, at)
    user_id, at = avro.read_text(data, at)
    event_type, at = _read_event_type(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    item_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    session_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    duration_ms, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    completion_rate, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    position, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    request_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    quantity, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    price, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    text, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    reward_override, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    page_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    surface, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    device_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    platform, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    country, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    region, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    city, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    latitude, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    longitude, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    model_version, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    )
    experiment_id, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    )
    variant, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    consent, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_boolean)
    signal, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, _read_signal_payload)
    context, at = avro.read_mapping(data, at, avro.read_text)
    return UserEvent(
        event_id=event_id,
        user_id=user_id,
        event_type=event_type,
        timestamp_ms=timestamp_ms,
        item_id=item_id,
        session_id=session_id,
        duration_ms=duration_ms,
        completion_rate=completion_rate,
        position=position,
        request_id=request_id,
        quantity=quantity,
        price=price,
        text=text,
        reward_override=reward_override,
        page_type=page_type,
        surface=surface,
        device_type=device_type,
        platform=platform,
        country=country,
        region=region,
        city=city,
        latitude=latitude,
        longitude=longitude,
        model_version=model_version,
        experiment_id=experiment_id,
        variant=variant,
        consent=consent,
        signal=signal,
        context=context,
    ), at


_ITEM_OPERATION_BYTES: Mapping[ItemOperation, bytes] = {
    "upsert": b"\x00",
    "delete": b"\x02",
}
_ITEM_OPERATION_AT: Mapping[int, ItemOperation] = {
    0: "upsert",
    2: "delete",
}


def _write_item_operation(value: ItemOperation) -> bytes:
    return _ITEM_OPERATION_BYTES[value]


def _read_item_operation(data: bytes, at: int) -> tuple[ItemOperation, int]:
    return _ITEM_OPERATION_AT[data[at]], at + 1


_AVAILABILITY_BYTES: Mapping[Availability, bytes] = {
    "in_stock": b"\x00",
    "limited": b"\x02",
    "out_of_stock": b"\x04",
}
_AVAILABILITY_AT: Mapping[int, Availability] = {
    0: "in_stock",
    2: "limited",
    4: "out_of_stock",
}


def _write_availability(value: Availability) -> bytes:
    return _AVAILABILITY_BYTES[value]


def _read_availability(data: bytes, at: int) -> tuple[Availability, int]:
    return _AVAILABILITY_AT[data[at]], at + 1


def _write_item_event(value: ItemEvent) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            _write_item_operation(value.operation),
            avro.long(value.updated_at_ms),
            avro.NULL if value.external_id is None else avro.PRESENT + avro.text(value.external_id),
            avro.text(value.item_type),
            avro.text(value.title),
            avro.text(value.description),
            avro.NULL if value.category_id is None else avro.PRESENT + avro.text(value.category_id),
            avro.array(value.categories, avro.text),
            avro.array(value.tags, avro.text),
            avro.NULL if value.creator_id is None else avro.PRESENT + avro.text(value.creator_id),
            avro.NULL if value.brand_id is None else avro.PRESENT + avro.text(value.brand_id),
            avro.NULL if value.language is None else avro.PRESENT + avro.text(value.language),
            avro.NULL
            if value.content_rating is None
            else avro.PRESENT + avro.text(value.content_rating),
            avro.NULL if value.price is None else avro.PRESENT + avro.double(value.price),
            _write_availability(value.availability),
            avro.boolean(value.is_active),
            avro.text(value.visibility),
            avro.NULL
            if value.created_at_ms is None
            else avro.PRESENT + avro.long(value.created_at_ms),
            avro.NULL
            if value.published_at_ms is None
            else avro.PRESENT + avro.long(value.published_at_ms),
            avro.NULL if value.image_url is None else avro.PRESENT + avro.text(value.image_url),
            avro.float_(value.popularity_score),
            avro.float_(value.quality_score),
            avro.float_(value.freshness_score),
            avro.NULL
            if value.text_embedding is None
            else avro.PRESENT + avro.blob(value.text_embedding),
            avro.NULL
            if value.image_embedding is None
            else avro.PRESENT + avro.blob(value.image_embedding),
            avro.NULL
            if value.audio_embedding is None
            else avro.PRESENT + avro.blob(value.audio_embedding),
            avro.NULL
            if value.video_embedding is None
            else avro.PRESENT + avro.blob(value.video_embedding),
            avro.NULL
            if value.embedding_space is None
            else avro.PRESENT + avro.text(value.embedding_space),
            avro.mapping(value.metadata, avro.text),
        )
    )


def _read_item_event(data: bytes, at: int) -> tuple[ItemEvent, int]:
    item_id, at = avro.read_text(data, at)
    operation, at = _read_item_operation(data, at)
    updated_at_ms, at = avro.read_long(data, at)
    external_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    item_type, at = avro.read_text(data, at)
    title, at = avro.read_text(data, at)
    description, at = avro.read_text(data, at)
    category_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    categories, at = avro.read_array(data, at, avro.read_text)
    tags, at = avro.read_array(data, at, avro.read_text)
    creator_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    brand_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    language, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    content_rating, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    )
    price, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    availability, at = _read_availability(data, at)
    is_active, at = avro.read_boolean(data, at)
    visibility, at = avro.read_text(data, at)
    created_at_ms, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    )
    published_at_ms, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    )
    image_url, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    popularity_score, at = avro.read_float(data, at)
    quality_score, at = avro.read_float(data, at)
    freshness_score, at = avro.read_float(data, at)
    text_embedding, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    )
    image_embedding, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    )
    audio_embedding, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    )
    video_embedding, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    )
    embedding_space, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    )
    metadata, at = avro.read_mapping(data, at, avro.read_text)
    return ItemEvent(
        item_id=item_id,
        operation=operation,
        updated_at_ms=updated_at_ms,
        external_id=external_id,
        item_type=item_type,
        title=title,
        description=description,
        category_id=category_id,
        categories=categories,
        tags=tags,
        creator_id=creator_id,
        brand_id=brand_id,
        language=language,
        content_rating=content_rating,
        price=price,
        availability=availability,
        is_active=is_active,
        visibility=visibility,
        created_at_ms=created_at_ms,
        published_at_ms=published_at_ms,
        image_url=image_url,
        popularity_score=popularity_score,
        quality_score=quality_score,
        freshness_score=freshness_score,
        text_embedding=text_embedding,
        image_embedding=image_embedding,
        audio_embedding=audio_embedding,
        video_embedding=video_embedding,
        embedding_space=embedding_space,
        metadata=metadata,
    ), at


_CANDIDATE_SOURCE_BYTES: Mapping[CandidateSource, bytes] = {
    "collaborative": b"\x00",
    "content": b"\x02",
    "trending": b"\x04",
    "exploration": b"\x06",
    "popular": b"\x08",
    "neighbour": b"\n",
    "repeat": b"\x0c",
    "unknown": b"\x0e",
}
_CANDIDATE_SOURCE_AT: Mapping[int, CandidateSource] = {
    0: "collaborative",
    2: "content",
    4: "trending",
    6: "exploration",
    8: "popular",
    10: "neighbour",
    12: "repeat",
    14: "unknown",
}


def _write_candidate_source(value: CandidateSource) -> bytes:
    return _CANDIDATE_SOURCE_BYTES[value]


def _read_candidate_source(data: bytes, at: int) -> tuple[CandidateSource, int]:
    return _CANDIDATE_SOURCE_AT[data[at]], at + 1


def _write_shown_item(value: ShownItem) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.int_(value.rank),
            avro.float_(value.score),
            _write_candidate_source(value.source),
            avro.double(value.propensity),
            avro.NULL
            if value.sampled_value is None
            else avro.PRESENT + avro.float_(value.sampled_value),
            avro.NULL
            if value.uncertainty is None
            else avro.PRESENT + avro.float_(value.uncertainty),
        )
    )


def _read_shown_item(data: bytes, at: int) -> tuple[ShownItem, int]:
    item_id, at = avro.read_text(data, at)
    rank, at = avro.read_long(data, at)
    score, at = avro.read_float(data, at)
    source, at = _read_candidate_source(data, at)
    propensity, at = avro.read_double(data, at)
    sampled_value, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    uncertainty, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    return ShownItem(
        item_id=item_id,
        rank=rank,
        score=score,
        source=source,
        propensity=propensity,
        sampled_value=sampled_value,
        uncertainty=uncertainty,
    ), at


def _write_exposure(value: Exposure) -> bytes:
    return b"".join(
        (
            avro.text(value.experiment_id),
            avro.text(value.arm),
            avro.boolean(value.forced),
        )
    )


def _read_exposure(data: bytes, at: int) -> tuple[Exposure, int]:
    experiment_id, at = avro.read_text(data, at)
    arm, at = avro.read_text(data, at)
    forced, at = avro.read_boolean(data, at)
    return Exposure(
        experiment_id=experiment_id,
        arm=arm,
        forced=forced,
    ), at


def _write_impression(value: Impression) -> bytes:
    return b"".join(
        (
            avro.text(value.request_id),
            avro.text(value.user_id),
            avro.NULL if value.session_id is None else avro.PRESENT + avro.text(value.session_id),
            avro.long(value.timestamp_ms),
            avro.NULL if value.page_type is None else avro.PRESENT + avro.text(value.page_type),
            avro.NULL if value.placement is None else avro.PRESENT + avro.text(value.placement),
            avro.NULL if value.device is None else avro.PRESENT + avro.text(value.device),
            avro.NULL if value.country is None else avro.PRESENT + avro.text(value.country),
            avro.NULL if value.region is None else avro.PRESENT + avro.text(value.region),
            avro.NULL if value.city is None else avro.PRESENT + avro.text(value.city),
            avro.text(value.context_segment),
            avro.floats(value.context_features),
            avro.array(value.items, _write_shown_item),
            avro.text(value.tier),
            avro.boolean(value.cache_hit),
            avro.boolean(value.exploration_applied),
            avro.float_(value.exploration_rate),
            avro.text(value.model_version),
            avro.NULL
            if value.experiment_id is None
            else avro.PRESENT + avro.text(value.experiment_id),
            avro.NULL if value.variant is None else avro.PRESENT + avro.text(value.variant),
            avro.long(value.user_version),
            avro.array(value.fallbacks, avro.text),
            avro.float_(value.latency_ms),
            avro.array(value.experiments, _write_exposure),
        )
    )


def _read_impression(data: bytes, at: int) -> tuple[Impression, int]:
    request_id, at = avro.read_text(data, at)
    user_id, at = avro.read_text(data, at)
    session_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    timestamp_ms, at = avro.read_long(data, at)
    page_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    placement, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    device, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    country, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    region, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    city, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    context_segment, at = avro.read_text(data, at)
    context_features, at = avro.read_floats(data, at)
    items, at = avro.read_array(data, at, _read_shown_item)
    tier, at = avro.read_text(data, at)
    cache_hit, at = avro.read_boolean(data, at)
    exploration_applied, at = avro.read_boolean(data, at)
    exploration_rate, at = avro.read_float(data, at)
    model_version, at = avro.read_text(data, at)
    experiment_id, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    )
    variant, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    user_version, at = avro.read_long(data, at)
    fallbacks, at = avro.read_array(data, at, avro.read_text)
    latency_ms, at = avro.read_float(data, at)
    experiments, at = avro.read_array(data, at, _read_exposure)
    return Impression(
        request_id=request_id,
        user_id=user_id,
        session_id=session_id,
        timestamp_ms=timestamp_ms,
        page_type=page_type,
        placement=placement,
        device=device,
        country=country,
        region=region,
        city=city,
        context_segment=context_segment,
        context_features=context_features,
        items=items,
        tier=tier,
        cache_hit=cache_hit,
        exploration_applied=exploration_applied,
        exploration_rate=exploration_rate,
        model_version=model_version,
        experiment_id=experiment_id,
        variant=variant,
        user_version=user_version,
        fallbacks=fallbacks,
        latency_ms=latency_ms,
        experiments=experiments,
    ), at


_EMBEDDING_SOURCE_BYTES: Mapping[EmbeddingSource, bytes] = {
    "streaming": b"\x00",
    "batch": b"\x02",
}
_EMBEDDING_SOURCE_AT: Mapping[int, EmbeddingSource] = {
    0: "streaming",
    2: "batch",
}


def _write_embedding_source(value: EmbeddingSource) -> bytes:
    return _EMBEDDING_SOURCE_BYTES[value]


def _read_embedding_source(data: bytes, at: int) -> tuple[EmbeddingSource, int]:
    return _EMBEDDING_SOURCE_AT[data[at]], at + 1


def _write_embedding(value: Embedding) -> bytes:
    return b"".join(
        (
            avro.blob(value.vector),
            avro.long(value.version),
            _write_embedding_source(value.source),
            avro.NULL if value.space is None else avro.PRESENT + avro.text(value.space),
        )
    )


def _read_embedding(data: bytes, at: int) -> tuple[Embedding, int]:
    vector, at = avro.read_blob(data, at)
    version, at = avro.read_long(data, at)
    source, at = _read_embedding_source(data, at)
    space, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    return Embedding(
        vector=vector,
        version=version,
        source=source,
        space=space,
    ), at


def _write_trigger(value: Trigger) -> bytes:
    return b"".join(
        (
            avro.text(value.interaction_id),
            avro.text(value.action),
            avro.NULL if value.item_id is None else avro.PRESENT + avro.text(value.item_id),
        )
    )


def _read_trigger(data: bytes, at: int) -> tuple[Trigger, int]:
    interaction_id, at = avro.read_text(data, at)
    action, at = avro.read_text(data, at)
    item_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    return Trigger(
        interaction_id=interaction_id,
        action=action,
        item_id=item_id,
    ), at


def _write_embedding_update(value: EmbeddingUpdate) -> bytes:
    return b"".join(
        (
            avro.text(value.user_id),
            avro.text(value.event_type),
            avro.long(value.timestamp_ms),
            _write_embedding(value.embedding),
            avro.NULL if value.trigger is None else avro.PRESENT + _write_trigger(value.trigger),
            avro.boolean(value.erased),
            avro.long(value.log_time_ms),
            avro.blob(value.day_vector),
            avro.blob(value.session_vector),
            avro.int_(value.session_number),
            avro.boolean(value.recompute_due),
        )
    )


def _read_embedding_update(data: bytes, at: int) -> tuple[EmbeddingUpdate, int]:
    user_id, at = avro.read_text(data, at)
    event_type, at = avro.read_text(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    embedding, at = _read_embedding(data, at)
    trigger, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, _read_trigger)
    erased, at = avro.read_boolean(data, at)
    log_time_ms, at = avro.read_long(data, at)
    day_vector, at = avro.read_blob(data, at)
    session_vector, at = avro.read_blob(data, at)
    session_number, at = avro.read_long(data, at)
    recompute_due, at = avro.read_boolean(data, at)
    return EmbeddingUpdate(
        user_id=user_id,
        event_type=event_type,
        timestamp_ms=timestamp_ms,
        embedding=embedding,
        trigger=trigger,
        erased=erased,
        log_time_ms=log_time_ms,
        day_vector=day_vector,
        session_vector=session_vector,
        session_number=session_number,
        recompute_due=recompute_due,
    ), at


def _write_bandit_update(value: BanditUpdate) -> bytes:
    return b"".join(
        (
            avro.text(value.update_id),
            avro.text(value.item_id),
            avro.text(value.context_segment),
            avro.float_(value.reward),
            avro.floats(value.context_features),
            avro.long(value.timestamp_ms),
            avro.NULL if value.user_id is None else avro.PRESENT + avro.text(value.user_id),
            avro.NULL if value.request_id is None else avro.PRESENT + avro.text(value.request_id),
            avro.NULL if value.position is None else avro.PRESENT + avro.int_(value.position),
            avro.NULL if value.propensity is None else avro.PRESENT + avro.double(value.propensity),
            avro.NULL if value.action is None else avro.PRESENT + avro.text(value.action),
            avro.NULL
            if value.previous_reward is None
            else avro.PRESENT + avro.float_(value.previous_reward),
            avro.NULL if value.explored is None else avro.PRESENT + avro.boolean(value.explored),
            avro.long(value.log_time_ms),
        )
    )


def _read_bandit_update(data: bytes, at: int) -> tuple[BanditUpdate, int]:
    update_id, at = avro.read_text(data, at)
    item_id, at = avro.read_text(data, at)
    context_segment, at = avro.read_text(data, at)
    reward, at = avro.read_float(data, at)
    context_features, at = avro.read_floats(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    user_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    request_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    position, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    propensity, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    action, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    previous_reward, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    explored, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_boolean)
    log_time_ms, at = avro.read_long(data, at)
    return BanditUpdate(
        update_id=update_id,
        item_id=item_id,
        context_segment=context_segment,
        reward=reward,
        context_features=context_features,
        timestamp_ms=timestamp_ms,
        user_id=user_id,
        request_id=request_id,
        position=position,
        propensity=propensity,
        action=action,
        previous_reward=previous_reward,
        explored=explored,
        log_time_ms=log_time_ms,
    ), at


def _write_bandit_posterior(value: BanditPosterior) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.text(value.context_segment),
            avro.long(value.version),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.double(value.alpha),
            avro.double(value.beta),
            avro.double(value.prior_alpha),
            avro.double(value.prior_beta),
            avro.blob(value.weights),
            avro.blob(value.variances),
            avro.long(value.total_impressions),
            avro.long(value.total_rewards),
            avro.long(value.exploration_count),
            avro.long(value.exploitation_count),
        )
    )


def _read_bandit_posterior(data: bytes, at: int) -> tuple[BanditPosterior, int]:
    item_id, at = avro.read_text(data, at)
    context_segment, at = avro.read_text(data, at)
    version, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    alpha, at = avro.read_double(data, at)
    beta, at = avro.read_double(data, at)
    prior_alpha, at = avro.read_double(data, at)
    prior_beta, at = avro.read_double(data, at)
    weights, at = avro.read_blob(data, at)
    variances, at = avro.read_blob(data, at)
    total_impressions, at = avro.read_long(data, at)
    total_rewards, at = avro.read_long(data, at)
    exploration_count, at = avro.read_long(data, at)
    exploitation_count, at = avro.read_long(data, at)
    return BanditPosterior(
        item_id=item_id,
        context_segment=context_segment,
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        alpha=alpha,
        beta=beta,
        prior_alpha=prior_alpha,
        prior_beta=prior_beta,
        weights=weights,
        variances=variances,
        total_impressions=total_impressions,
        total_rewards=total_rewards,
        exploration_count=exploration_count,
        exploitation_count=exploitation_count,
    ), at


def _write_dead_letter(value: DeadLetter) -> bytes:
    return b"".join(
        (
            avro.text(value.topic),
            avro.int_(value.partition),
            avro.long(value.offset),
            avro.long(value.log_time_ms),
            avro.NULL if value.key is None else avro.PRESENT + avro.blob(value.key),
            avro.blob(value.payload),
            avro.long(value.payload_size),
            avro.text(value.reason),
            avro.text(value.detail),
            avro.text(value.job),
        )
    )


def _read_dead_letter(data: bytes, at: int) -> tuple[DeadLetter, int]:
    topic, at = avro.read_text(data, at)
    partition, at = avro.read_long(data, at)
    offset, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    key, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    payload, at = avro.read_blob(data, at)
    payload_size, at = avro.read_long(data, at)
    reason, at = avro.read_text(data, at)
    detail, at = avro.read_text(data, at)
    job, at = avro.read_text(data, at)
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        log_time_ms=log_time_ms,
        key=key,
        payload=payload,
        payload_size=payload_size,
        reason=reason,
        detail=detail,
        job=job,
    ), at


def _write_interaction(value: Interaction) -> bytes:
    return b"".join(
        (
            avro.text(value.event_id),
            avro.text(value.event_type),
            avro.long(value.timestamp_ms),
            avro.NULL if value.item_id is None else avro.PRESENT + avro.text(value.item_id),
            avro.NULL if value.duration_ms is None else avro.PRESENT + avro.long(value.duration_ms),
            avro.NULL if value.position is None else avro.PRESENT + avro.int_(value.position),
            avro.NULL if value.request_id is None else avro.PRESENT + avro.text(value.request_id),
            avro.NULL if value.text is None else avro.PRESENT + avro.text(value.text),
        )
    )


def _read_interaction(data: bytes, at: int) -> tuple[Interaction, int]:
    event_id, at = avro.read_text(data, at)
    event_type, at = avro.read_text(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    item_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    duration_ms, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    position, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    request_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    text, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    return Interaction(
        event_id=event_id,
        event_type=event_type,
        timestamp_ms=timestamp_ms,
        item_id=item_id,
        duration_ms=duration_ms,
        position=position,
        request_id=request_id,
        text=text,
    ), at


def _write_user_snapshot(value: UserSnapshot) -> bytes:
    return b"".join(
        (
            avro.text(value.user_id),
            avro.long(value.version),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.long(value.first_seen_ms),
            avro.long(value.total_interactions),
            avro.long(value.total_sessions),
            avro.NULL if value.session_id is None else avro.PRESENT + avro.text(value.session_id),
            avro.long(value.session_start_ms),
            avro.int_(value.session_interactions),
            avro.NULL if value.device_type is None else avro.PRESENT + avro.text(value.device_type),
            avro.NULL if value.page_type is None else avro.PRESENT + avro.text(value.page_type),
            avro.NULL if value.country is None else avro.PRESENT + avro.text(value.country),
            avro.boolean(value.consent),
            avro.blob(value.windows),
            avro.long(value.embedding_version),
            _write_interaction(value.interaction),
            avro.boolean(value.erased),
            avro.blob(value.affinities),
            avro.blob(value.emotion),
            avro.long(value.session_last_ms),
        )
    )


def _read_user_snapshot(data: bytes, at: int) -> tuple[UserSnapshot, int]:
    user_id, at = avro.read_text(data, at)
    version, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    first_seen_ms, at = avro.read_long(data, at)
    total_interactions, at = avro.read_long(data, at)
    total_sessions, at = avro.read_long(data, at)
    session_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    session_start_ms, at = avro.read_long(data, at)
    session_interactions, at = avro.read_long(data, at)
    device_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    page_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    country, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    consent, at = avro.read_boolean(data, at)
    windows, at = avro.read_blob(data, at)
    embedding_version, at = avro.read_long(data, at)
    interaction, at = _read_interaction(data, at)
    erased, at = avro.read_boolean(data, at)
    affinities, at = avro.read_blob(data, at)
    emotion, at = avro.read_blob(data, at)
    session_last_ms, at = avro.read_long(data, at)
    return UserSnapshot(
        user_id=user_id,
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        first_seen_ms=first_seen_ms,
        total_interactions=total_interactions,
        total_sessions=total_sessions,
        session_id=session_id,
        session_start_ms=session_start_ms,
        session_interactions=session_interactions,
        device_type=device_type,
        page_type=page_type,
        country=country,
        consent=consent,
        windows=windows,
        embedding_version=embedding_version,
        interaction=interaction,
        erased=erased,
        affinities=affinities,
        emotion=emotion,
        session_last_ms=session_last_ms,
    ), at


def _write_item_signal(value: ItemSignal) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.text(value.event_id),
            avro.text(value.user_id),
            avro.text(value.event_type),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.NULL if value.device_type is None else avro.PRESENT + avro.text(value.device_type),
            avro.NULL if value.country is None else avro.PRESENT + avro.text(value.country),
            avro.NULL if value.price is None else avro.PRESENT + avro.double(value.price),
            avro.NULL if value.quantity is None else avro.PRESENT + avro.int_(value.quantity),
            avro.NULL if value.duration_ms is None else avro.PRESENT + avro.long(value.duration_ms),
            avro.NULL
            if value.completion_rate is None
            else avro.PRESENT + avro.float_(value.completion_rate),
        )
    )


def _read_item_signal(data: bytes, at: int) -> tuple[ItemSignal, int]:
    item_id, at = avro.read_text(data, at)
    event_id, at = avro.read_text(data, at)
    user_id, at = avro.read_text(data, at)
    event_type, at = avro.read_text(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    device_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    country, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    price, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    quantity, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    duration_ms, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    completion_rate, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_float)
    )
    return ItemSignal(
        item_id=item_id,
        event_id=event_id,
        user_id=user_id,
        event_type=event_type,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        device_type=device_type,
        country=country,
        price=price,
        quantity=quantity,
        duration_ms=duration_ms,
        completion_rate=completion_rate,
    ), at


def _write_item_snapshot(value: ItemSnapshot) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.long(value.version),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.boolean(value.deleted),
            avro.NULL if value.catalog is None else avro.PRESENT + _write_item_event(value.catalog),
            avro.NULL if value.vector is None else avro.PRESENT + avro.blob(value.vector),
            avro.NULL if value.unified is None else avro.PRESENT + avro.blob(value.unified),
            avro.array(value.modalities, avro.text),
        )
    )


def _read_item_snapshot(data: bytes, at: int) -> tuple[ItemSnapshot, int]:
    item_id, at = avro.read_text(data, at)
    version, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    deleted, at = avro.read_boolean(data, at)
    catalog, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, _read_item_event)
    vector, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    unified, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_blob)
    modalities, at = avro.read_array(data, at, avro.read_text)
    return ItemSnapshot(
        item_id=item_id,
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        deleted=deleted,
        catalog=catalog,
        vector=vector,
        unified=unified,
        modalities=modalities,
    ), at


def _write_item_popularity(value: ItemPopularity) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.long(value.version),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.double(value.popularity),
            avro.long(value.popularity_at_ms),
            avro.double(value.trending),
            avro.long(value.total_events),
        )
    )


def _read_item_popularity(data: bytes, at: int) -> tuple[ItemPopularity, int]:
    item_id, at = avro.read_text(data, at)
    version, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    popularity, at = avro.read_double(data, at)
    popularity_at_ms, at = avro.read_long(data, at)
    trending, at = avro.read_double(data, at)
    total_events, at = avro.read_long(data, at)
    return ItemPopularity(
        item_id=item_id,
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        popularity=popularity,
        popularity_at_ms=popularity_at_ms,
        trending=trending,
        total_events=total_events,
    ), at


def _write_item_pair(value: ItemPair) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.text(value.event_id),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.array(value.others, avro.text),
            avro.floats(value.weights),
        )
    )


def _read_item_pair(data: bytes, at: int) -> tuple[ItemPair, int]:
    item_id, at = avro.read_text(data, at)
    event_id, at = avro.read_text(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    others, at = avro.read_array(data, at, avro.read_text)
    weights, at = avro.read_floats(data, at)
    return ItemPair(
        item_id=item_id,
        event_id=event_id,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        others=others,
        weights=weights,
    ), at


def _write_item_neighbors(value: ItemNeighbors) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.long(value.version),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.array(value.neighbors, avro.text),
            avro.floats(value.scores),
            avro.array(value.half_lives_ms, avro.long),
            avro.floats(value.half_life_shares),
        )
    )


def _read_item_neighbors(data: bytes, at: int) -> tuple[ItemNeighbors, int]:
    item_id, at = avro.read_text(data, at)
    version, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    neighbors, at = avro.read_array(data, at, avro.read_text)
    scores, at = avro.read_floats(data, at)
    half_lives_ms, at = avro.read_array(data, at, avro.read_long)
    half_life_shares, at = avro.read_floats(data, at)
    return ItemNeighbors(
        item_id=item_id,
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        neighbors=neighbors,
        scores=scores,
        half_lives_ms=half_lives_ms,
        half_life_shares=half_life_shares,
    ), at


def _write_item_engagement(value: ItemEngagement) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.long(value.version),
            avro.long(value.timestamp_ms),
            avro.long(value.log_time_ms),
            avro.long(value.views),
            avro.long(value.clicks),
            avro.long(value.conversions),
            avro.long(value.carts),
            avro.long(value.dismissals),
            avro.double(value.avg_dwell_ms),
            avro.double(value.avg_completion_rate),
            avro.double(value.ctr),
            avro.double(value.cvr),
            avro.long(value.views_1h),
            avro.long(value.clicks_1h),
            avro.long(value.conversions_1h),
            avro.long(value.views_24h),
            avro.long(value.clicks_24h),
            avro.long(value.conversions_24h),
            avro.array(value.trends, avro.text),
            avro.array(value.trending, avro.double),
        )
    )


def _read_item_engagement(data: bytes, at: int) -> tuple[ItemEngagement, int]:
    item_id, at = avro.read_text(data, at)
    version, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    views, at = avro.read_long(data, at)
    clicks, at = avro.read_long(data, at)
    conversions, at = avro.read_long(data, at)
    carts, at = avro.read_long(data, at)
    dismissals, at = avro.read_long(data, at)
    avg_dwell_ms, at = avro.read_double(data, at)
    avg_completion_rate, at = avro.read_double(data, at)
    ctr, at = avro.read_double(data, at)
    cvr, at = avro.read_double(data, at)
    views_1h, at = avro.read_long(data, at)
    clicks_1h, at = avro.read_long(data, at)
    conversions_1h, at = avro.read_long(data, at)
    views_24h, at = avro.read_long(data, at)
    clicks_24h, at = avro.read_long(data, at)
    conversions_24h, at = avro.read_long(data, at)
    trends, at = avro.read_array(data, at, avro.read_text)
    trending, at = avro.read_array(data, at, avro.read_double)
    return ItemEngagement(
        item_id=item_id,
        version=version,
        timestamp_ms=timestamp_ms,
        log_time_ms=log_time_ms,
        views=views,
        clicks=clicks,
        conversions=conversions,
        carts=carts,
        dismissals=dismissals,
        avg_dwell_ms=avg_dwell_ms,
        avg_completion_rate=avg_completion_rate,
        ctr=ctr,
        cvr=cvr,
        views_1h=views_1h,
        clicks_1h=clicks_1h,
        conversions_1h=conversions_1h,
        views_24h=views_24h,
        clicks_24h=clicks_24h,
        conversions_24h=conversions_24h,
        trends=trends,
        trending=trending,
    ), at


def _write_traced_arm(value: TracedArm) -> bytes:
    return b"".join(
        (
            avro.text(value.experiment_id),
            avro.text(value.arm),
            avro.boolean(value.forced),
            avro.text(value.posteriors),
            avro.NULL
            if value.exploration_rate is None
            else avro.PRESENT + avro.double(value.exploration_rate),
            avro.NULL
            if value.diversity_weight is None
            else avro.PRESENT + avro.double(value.diversity_weight),
            avro.NULL if value.policy is None else avro.PRESENT + avro.text(value.policy),
        )
    )


def _read_traced_arm(data: bytes, at: int) -> tuple[TracedArm, int]:
    experiment_id, at = avro.read_text(data, at)
    arm, at = avro.read_text(data, at)
    forced, at = avro.read_boolean(data, at)
    posteriors, at = avro.read_text(data, at)
    exploration_rate, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    )
    diversity_weight, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    )
    policy, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    return TracedArm(
        experiment_id=experiment_id,
        arm=arm,
        forced=forced,
        posteriors=posteriors,
        exploration_rate=exploration_rate,
        diversity_weight=diversity_weight,
        policy=policy,
    ), at


def _write_traced_user(value: TracedUser) -> bytes:
    return b"".join(
        (
            avro.long(value.version),
            avro.long(value.log_time_ms),
            avro.long(value.timestamp_ms),
            avro.boolean(value.consent),
            avro.NULL if value.session_id is None else avro.PRESENT + avro.text(value.session_id),
            avro.long(value.session_start_ms),
            avro.int_(value.session_interactions),
            avro.NULL if value.device_type is None else avro.PRESENT + avro.text(value.device_type),
            avro.NULL if value.country is None else avro.PRESENT + avro.text(value.country),
            avro.blob(value.emotion),
            avro.boolean(value.has_vector),
            avro.long(value.embedding_version),
            avro.boolean(value.has_taste),
            avro.int_(value.views_5m),
            avro.int_(value.clicks_5m),
            avro.int_(value.events_1h),
            avro.int_(value.events_24h),
            avro.long(value.interactions),
            avro.NULL
            if value.last_event_ms is None
            else avro.PRESENT + avro.long(value.last_event_ms),
        )
    )


def _read_traced_user(data: bytes, at: int) -> tuple[TracedUser, int]:
    version, at = avro.read_long(data, at)
    log_time_ms, at = avro.read_long(data, at)
    timestamp_ms, at = avro.read_long(data, at)
    consent, at = avro.read_boolean(data, at)
    session_id, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    session_start_ms, at = avro.read_long(data, at)
    session_interactions, at = avro.read_long(data, at)
    device_type, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    country, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    emotion, at = avro.read_blob(data, at)
    has_vector, at = avro.read_boolean(data, at)
    embedding_version, at = avro.read_long(data, at)
    has_taste, at = avro.read_boolean(data, at)
    views_5m, at = avro.read_long(data, at)
    clicks_5m, at = avro.read_long(data, at)
    events_1h, at = avro.read_long(data, at)
    events_24h, at = avro.read_long(data, at)
    interactions, at = avro.read_long(data, at)
    last_event_ms, at = (
        (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_long)
    )
    return TracedUser(
        version=version,
        log_time_ms=log_time_ms,
        timestamp_ms=timestamp_ms,
        consent=consent,
        session_id=session_id,
        session_start_ms=session_start_ms,
        session_interactions=session_interactions,
        device_type=device_type,
        country=country,
        emotion=emotion,
        has_vector=has_vector,
        embedding_version=embedding_version,
        has_taste=has_taste,
        views_5m=views_5m,
        clicks_5m=clicks_5m,
        events_1h=events_1h,
        events_24h=events_24h,
        interactions=interactions,
        last_event_ms=last_event_ms,
    ), at


def _write_traced_place(value: TracedPlace) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.int_(value.index),
            avro.double(value.propensity),
            avro.boolean(value.explored),
            avro.int_(value.belief),
            avro.boolean(value.shown),
            avro.text(value.title),
            avro.NULL if value.category is None else avro.PRESENT + avro.text(value.category),
            avro.NULL if value.price is None else avro.PRESENT + avro.double(value.price),
            avro.NULL if value.image_url is None else avro.PRESENT + avro.text(value.image_url),
            avro.int_(value.trending),
            avro.int_(value.popular),
            avro.NULL if value.written is None else avro.PRESENT + avro.text(value.written),
        )
    )


def _read_traced_place(data: bytes, at: int) -> tuple[TracedPlace, int]:
    item_id, at = avro.read_text(data, at)
    index, at = avro.read_long(data, at)
    propensity, at = avro.read_double(data, at)
    explored, at = avro.read_boolean(data, at)
    belief, at = avro.read_long(data, at)
    shown, at = avro.read_boolean(data, at)
    title, at = avro.read_text(data, at)
    category, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    price, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    image_url, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    trending, at = avro.read_long(data, at)
    popular, at = avro.read_long(data, at)
    written, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    return TracedPlace(
        item_id=item_id,
        index=index,
        propensity=propensity,
        explored=explored,
        belief=belief,
        shown=shown,
        title=title,
        category=category,
        price=price,
        image_url=image_url,
        trending=trending,
        popular=popular,
        written=written,
    ), at


def _write_answer_trace(value: AnswerTrace) -> bytes:
    return b"".join(
        (
            avro.text(value.request_id),
            avro.text(value.user_id),
            avro.text(value.shape),
            avro.blob(value.digest),
            avro.text(value.request),
            avro.long(value.now_ms),
            avro.text(value.policy),
            avro.double(value.policy_weight),
            avro.array(value.arms, _write_traced_arm),
            avro.text(value.ranking),
            avro.boolean(value.cached),
            avro.array(value.fallbacks, avro.text),
            avro.double(value.latency_ms),
            avro.text(value.steps),
            avro.long(value.catalogue_version),
            _write_traced_user(value.user),
            avro.blob(value.history),
            avro.text(value.segment),
            avro.blob(value.alpha),
            avro.blob(value.beta),
            avro.blob(value.context_logits),
            avro.blob(value.versions),
            avro.NULL if value.lacking is None else avro.PRESENT + avro.text(value.lacking),
            avro.array(value.places, _write_traced_place),
        )
    )


def _read_answer_trace(data: bytes, at: int) -> tuple[AnswerTrace, int]:
    request_id, at = avro.read_text(data, at)
    user_id, at = avro.read_text(data, at)
    shape, at = avro.read_text(data, at)
    digest, at = avro.read_blob(data, at)
    request, at = avro.read_text(data, at)
    now_ms, at = avro.read_long(data, at)
    policy, at = avro.read_text(data, at)
    policy_weight, at = avro.read_double(data, at)
    arms, at = avro.read_array(data, at, _read_traced_arm)
    ranking, at = avro.read_text(data, at)
    cached, at = avro.read_boolean(data, at)
    fallbacks, at = avro.read_array(data, at, avro.read_text)
    latency_ms, at = avro.read_double(data, at)
    steps, at = avro.read_text(data, at)
    catalogue_version, at = avro.read_long(data, at)
    user, at = _read_traced_user(data, at)
    history, at = avro.read_blob(data, at)
    segment, at = avro.read_text(data, at)
    alpha, at = avro.read_blob(data, at)
    beta, at = avro.read_blob(data, at)
    context_logits, at = avro.read_blob(data, at)
    versions, at = avro.read_blob(data, at)
    lacking, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    places, at = avro.read_array(data, at, _read_traced_place)
    return AnswerTrace(
        request_id=request_id,
        user_id=user_id,
        shape=shape,
        digest=digest,
        request=request,
        now_ms=now_ms,
        policy=policy,
        policy_weight=policy_weight,
        arms=arms,
        ranking=ranking,
        cached=cached,
        fallbacks=fallbacks,
        latency_ms=latency_ms,
        steps=steps,
        catalogue_version=catalogue_version,
        user=user,
        history=history,
        segment=segment,
        alpha=alpha,
        beta=beta,
        context_logits=context_logits,
        versions=versions,
        lacking=lacking,
        places=places,
    ), at


def _write_ranking_trace(value: RankingTrace) -> bytes:
    return b"".join(
        (
            avro.long(value.made_ms),
            avro.long(value.at_ms),
            avro.text(value.model_version),
            avro.boolean(value.cold),
            avro.array(value.ids, avro.text),
            avro.array(value.source_names, avro.text),
            avro.blob(value.sources),
            avro.array(value.category_names, avro.text),
            avro.blob(value.categories),
            avro.blob(value.scores),
            avro.blob(value.freshness),
            avro.blob(value.price_affinity),
            avro.blob(value.prices),
            avro.blob(value.novel),
            avro.blob(value.reserve),
            avro.mapping(value.traits, avro.blob),
            avro.blob(value.vectors),
            avro.array(value.feature_names, avro.text),
            avro.array(value.features, avro.blob),
        )
    )


def _read_ranking_trace(data: bytes, at: int) -> tuple[RankingTrace, int]:
    made_ms, at = avro.read_long(data, at)
    at_ms, at = avro.read_long(data, at)
    model_version, at = avro.read_text(data, at)
    cold, at = avro.read_boolean(data, at)
    ids, at = avro.read_array(data, at, avro.read_text)
    source_names, at = avro.read_array(data, at, avro.read_text)
    sources, at = avro.read_blob(data, at)
    category_names, at = avro.read_array(data, at, avro.read_text)
    categories, at = avro.read_blob(data, at)
    scores, at = avro.read_blob(data, at)
    freshness, at = avro.read_blob(data, at)
    price_affinity, at = avro.read_blob(data, at)
    prices, at = avro.read_blob(data, at)
    novel, at = avro.read_blob(data, at)
    reserve, at = avro.read_blob(data, at)
    traits, at = avro.read_mapping(data, at, avro.read_blob)
    vectors, at = avro.read_blob(data, at)
    feature_names, at = avro.read_array(data, at, avro.read_text)
    features, at = avro.read_array(data, at, avro.read_blob)
    return RankingTrace(
        made_ms=made_ms,
        at_ms=at_ms,
        model_version=model_version,
        cold=cold,
        ids=ids,
        source_names=source_names,
        sources=sources,
        category_names=category_names,
        categories=categories,
        scores=scores,
        freshness=freshness,
        price_affinity=price_affinity,
        prices=prices,
        novel=novel,
        reserve=reserve,
        traits=traits,
        vectors=vectors,
        feature_names=feature_names,
        features=features,
    ), at


def _write_traced_met(value: TracedMet) -> bytes:
    return b"".join(
        (
            avro.text(value.item_id),
            avro.long(value.event),
            avro.text(value.action),
            avro.long(value.at_ms),
            avro.NULL if value.category is None else avro.PRESENT + avro.text(value.category),
            avro.NULL if value.price is None else avro.PRESENT + avro.double(value.price),
            avro.NULL if value.title is None else avro.PRESENT + avro.text(value.title),
            avro.long(value.vector),
        )
    )


def _read_traced_met(data: bytes, at: int) -> tuple[TracedMet, int]:
    item_id, at = avro.read_text(data, at)
    event, at = avro.read_long(data, at)
    action, at = avro.read_text(data, at)
    at_ms, at = avro.read_long(data, at)
    category, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    price, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_double)
    title, at = (None, at + 1) if data[at] == 0 else avro.read_some(data, at, avro.read_text)
    vector, at = avro.read_long(data, at)
    return TracedMet(
        item_id=item_id,
        event=event,
        action=action,
        at_ms=at_ms,
        category=category,
        price=price,
        title=title,
        vector=vector,
    ), at


def _write_history_trace(value: HistoryTrace) -> bytes:
    return b"".join(
        (
            avro.mapping(value.category_share, avro.double),
            avro.array(value.met, _write_traced_met),
        )
    )


def _read_history_trace(data: bytes, at: int) -> tuple[HistoryTrace, int]:
    category_share, at = avro.read_mapping(data, at, avro.read_double)
    met, at = avro.read_array(data, at, _read_traced_met)
    return HistoryTrace(
        category_share=category_share,
        met=met,
    ), at


BINARY: Mapping[type[Any], Binary] = {
    UserEvent: Binary(_write_user_event, _read_user_event),
    ItemEvent: Binary(_write_item_event, _read_item_event),
    Impression: Binary(_write_impression, _read_impression),
    EmbeddingUpdate: Binary(_write_embedding_update, _read_embedding_update),
    BanditUpdate: Binary(_write_bandit_update, _read_bandit_update),
    BanditPosterior: Binary(_write_bandit_posterior, _read_bandit_posterior),
    DeadLetter: Binary(_write_dead_letter, _read_dead_letter),
    UserSnapshot: Binary(_write_user_snapshot, _read_user_snapshot),
    ItemSignal: Binary(_write_item_signal, _read_item_signal),
    ItemSnapshot: Binary(_write_item_snapshot, _read_item_snapshot),
    ItemPopularity: Binary(_write_item_popularity, _read_item_popularity),
    ItemPair: Binary(_write_item_pair, _read_item_pair),
    ItemNeighbors: Binary(_write_item_neighbors, _read_item_neighbors),
    ItemEngagement: Binary(_write_item_engagement, _read_item_engagement),
    AnswerTrace: Binary(_write_answer_trace, _read_answer_trace),
    RankingTrace: Binary(_write_ranking_trace, _read_ranking_trace),
    HistoryTrace: Binary(_write_history_trace, _read_history_trace),
}
