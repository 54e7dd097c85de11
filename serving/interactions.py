"""Document 001's ways to tell what users do and don't want, as events and deeds."""

from collections.abc import Iterator
from typing import Any, Protocol

from schemas.types import SignalPayload, UserEvent
from serving.feedback import Told, fingerprint
from serving.interaction_requests import InteractionFields, NegativeFeedbackRequest
from serving.requests import Action, to_ms
from stores.feedback_memory import Deed

# The document's key has a time bucket and doesn't say how wide it is.
BUCKET_MS = 60_000


class Interacted(Protocol):
    """Interactions of a user, in any request's shape."""

    @property
    def user_id(self) -> str:
        """Whose they are."""
        ...

    @property
    def session_id(self) -> str | None:
        """The visit of those that name none."""
        ...

    def each(self) -> Iterator[tuple[str, str, InteractionFields]]:
        """Every one: its place in the request, its item, and what is told of it."""
        ...

    def model_dump_json(self) -> str:
        """All of the request."""
        ...


def told_by_interactions(request: Interacted, *, now_ms: int, idempotency_key: str | None) -> Told:
    """What a request tells; an event's id is its deed's, so that a repeated one is recognised."""
    each = list(request.each())
    deeds = [
        Deed(
            request.user_id,
            item_id,
            _kind(one),
            _occasion(one, place, at_ms=_at_ms(one, now_ms), key=idempotency_key),
        )
        for place, item_id, one in each
    ]
    return Told(
        user_id=request.user_id,
        request_id="",
        events=[
            _event(request, one, deed, at_ms=_at_ms(one, now_ms))
            for (_, _, one), deed in zip(each, deeds, strict=True)
        ],
        deeds=deeds,
        places=[place for place, _, _ in each],
        fingerprint=fingerprint(request),
    )


def _kind(one: InteractionFields) -> Action:
    assert one.kind is not None, "a checked request says what was done"
    return one.kind


def _at_ms(one: InteractionFields, now_ms: int) -> int:
    return to_ms(one.timestamp) if one.timestamp else now_ms


def _event(request: Interacted, one: InteractionFields, deed: Deed, *, at_ms: int) -> UserEvent:
    where = one.context
    return UserEvent(
        event_id=deed.digest,
        user_id=request.user_id,
        event_type=_kind(one),
        timestamp_ms=at_ms,
        item_id=deed.item_id,
        session_id=one.session_id or request.session_id,
        duration_ms=one.spent_ms,
        completion_rate=one.completion_rate,
        position=one.position or where.position,
        request_id=where.recommendation_id,
        quantity=one.quantity,
        price=one.price,
        page_type=where.page_type,
        surface=where.surface,
        device_type=where.device_type,
        platform=where.platform,
        country=where.country,
        region=where.region,
        city=where.city,
        model_version=where.model_version,
        experiment_id=where.experiment_id,
        variant=where.variant,
        context=where.attributes,
    )


def _occasion(one: InteractionFields, place: str, *, at_ms: int, key: str | None) -> str:
    """What tells an interaction from another of its kind: its id, its request's key, its minute."""
    if one.interaction_id:
        return f"id:{one.interaction_id}"
    if key and one.timestamp is None:
        return f"key:{key}:{place}"
    return f"minute:{minute_of(at_ms)}"


def minute_of(at_ms: int) -> int:
    """The document's timestamp bucket.

    >>> minute_of(119_999), minute_of(120_000)
    (1, 2)
    """
    return at_ms // BUCKET_MS


def interactions_answer(taken: dict[str, Any]) -> dict[str, Any]:
    """The answer in the document's words.

    >>> interactions_answer({"status": "accepted", "processed": 2, "duplicates": 1})
    {'status': 'accepted', 'events_processed': 2, 'duplicates': 1}
    """
    return {
        "status": taken["status"],
        "events_processed": taken["processed"],
        "duplicates": taken["duplicates"],
    }


def told_by_negative(request: NegativeFeedbackRequest, *, now_ms: int) -> Told:
    """What a request tells, as the event that the user's job learns from."""
    at_ms = to_ms(request.timestamp) if request.timestamp else now_ms
    said = f"{request.feedback_type}:{request.scope}"
    deed = Deed(request.user_id, request.item_id, said, f"minute:{minute_of(at_ms)}")
    return Told(
        user_id=request.user_id,
        request_id="",
        events=[_negative_event(request, deed, at_ms)],
        deeds=[deed],
        places=[""],
        fingerprint=fingerprint(request),
    )


def _negative_event(request: NegativeFeedbackRequest, deed: Deed, at_ms: int) -> UserEvent:
    """Against an item: that it was dismissed. Against its category: that less of it is wanted."""
    of_category = request.scope == "category"
    told = {"feedback_type": request.feedback_type, "reason": request.reason}
    return UserEvent(
        event_id=deed.digest,
        user_id=request.user_id,
        event_type="preference_update" if of_category else "dismiss",
        timestamp_ms=at_ms,
        item_id=request.item_id,
        session_id=request.session_id,
        request_id=request.recommendation_id,
        # The job knows the category of the item.
        signal=SignalPayload(direction="negative", strength=1.0) if of_category else None,
        context={name: value for name, value in told.items() if value is not None},
    )


def negative_answer(request: NegativeFeedbackRequest, taken: dict[str, Any]) -> dict[str, Any]:
    """The answer in the document's words, with what is really done."""
    return {
        "status": taken["status"],
        "action_taken": action_taken(request),
        "duplicate": taken["processed"] == 0,
    }


def action_taken(request: NegativeFeedbackRequest) -> str:
    """What follows from the feedback: a report is also in the log for whoever looks into it.

    >>> hide = NegativeFeedbackRequest(user_id="u", item_id="i", feedback_type="hide")
    >>> action_taken(hide)
    'item_blocked'
    """
    if request.feedback_type == "report":
        return "item_reported"
    return "item_blocked" if request.scope == "item" else "category_demoted"
