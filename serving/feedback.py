"""Takes feedback: into the event log first, then remembered, so that nothing accepted is lost."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Protocol

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from domain.events import EventLimits, Refusal, refusal
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from serving.answers import FeedbackAnswer
from serving.breaker import Breaker, DependencyUnavailableError
from serving.errors import ApiError, unavailable
from serving.metrics import Metrics
from serving.ports import Log
from serving.requests import FeedbackRequest, to_ms
from stores.errors import StoreError
from stores.feedback_memory import NOTHING, Deed, Remembered

RETRY_AFTER_S = 2

log = structlog.get_logger(__name__)


class Memory(Protocol):
    """Remembers what was accepted."""

    async def recall(
        self, deeds: Sequence[Deed], *, user_id: str, idempotency_key: str | None
    ) -> Remembered:
        """What is remembered of deeds and of a key."""
        ...

    async def remember(
        self,
        deeds: Sequence[Deed],
        *,
        user_id: str,
        request_id: str,
        idempotency_key: str | None,
        answer: bytes,
    ) -> None:
        """Keep deeds and an answer."""
        ...


class Keeping(Protocol):
    """Keeps events while the log is away."""

    async def keep(self, events: Sequence[UserEvent]) -> None:
        """Have events on the disk, or raise `StoreError`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a request tells: events, the deed and the place in the request of each.

    A deed is told again if it comes again with the same `request_id`.
    """

    user_id: str
    request_id: str
    events: Sequence[UserEvent]
    deeds: Sequence[Deed]
    places: Sequence[str]
    fingerprint: str


class Tell(Protocol):
    """Says what a request tells as of an instant."""

    def __call__(self, *, now_ms: int) -> Told:
        """All of it."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class FeedbackIntake:
    """Accepts a request once its events are in the log, or kept on disk while the log is away.

    An event's id follows from the request alone, so a repeated one that slips past the memory
    (a crash between log and memory, or no memory at all) is recognised by the job.
    """

    event_log: Log
    memory: Memory
    log_breaker: Breaker
    memory_breaker: Breaker
    metrics: Metrics
    limits: EventLimits
    log_timeout_s: float
    memory_timeout_s: float
    now_ms: Callable[[], int]
    kept: Keeping | None = None

    async def accept(self, request: FeedbackRequest, *, idempotency_key: str | None) -> bytes:
        """The answer's body, after Kafka's word; `ApiError` where it can't be accepted."""
        tell = partial(told_by, request, idempotency_key=idempotency_key)
        return orjson.dumps(await self.take(tell, idempotency_key=idempotency_key))

    async def take(self, tell: Tell, *, idempotency_key: str | None) -> dict[str, Any]:
        """The same for whatever is told as of now, in whichever shape it was sent."""
        started = time.perf_counter()
        now_ms = self.now_ms()
        told = tell(now_ms=now_ms)
        self._check(told, now_ms)
        remembered = await self._recall(told, idempotency_key)
        if (kept := _kept(remembered.answer)) is not None:
            return _answer_again(kept, told.fingerprint)
        fresh = _fresh(told, remembered)
        await self._append([told.events[index] for index in fresh])
        answer = _answer(processed=len(fresh), of=len(told.events), started=started)
        await self._remember(told, fresh, idempotency_key, answer)
        self._count(told, fresh)
        return answer

    def _check(self, told: Told, now_ms: int) -> None:
        """Refuse now what the job would refuse later."""
        for event, place in zip(told.events, told.places, strict=True):
            key = event.user_id.encode()
            refused = refusal(event, key=key, log_time_ms=now_ms, limits=self.limits)
            if refused:
                raise _unusable(refused, place)

    async def _recall(self, told: Told, idempotency_key: str | None) -> Remembered:
        try:
            return await self.memory_breaker.call(
                lambda: self.memory.recall(
                    told.deeds, user_id=told.user_id, idempotency_key=idempotency_key
                ),
                timeout_s=self.memory_timeout_s,
            )
        except DependencyUnavailableError as error:
            self.metrics.fallbacks.labels(f"feedback:{error.dependency}_unavailable").inc()
            return NOTHING

    async def _append(self, events: list[UserEvent]) -> None:
        try:
            await self.log_breaker.call(
                lambda: asyncio.gather(
                    *(self.event_log.append(USER_EVENTS, one.user_id, one) for one in events)
                ),
                timeout_s=self.log_timeout_s,
            )
        except DependencyUnavailableError as error:
            await self._keep(events, error)

    async def _keep(self, events: list[UserEvent], away: DependencyUnavailableError) -> None:
        try:
            if self.kept is None:
                raise away
            await self.kept.keep(events)
        except (DependencyUnavailableError, StoreError) as error:
            raise unavailable(
                f"the event log did not take the feedback ({away.cause}), and it can't be kept",
                hint="send the same request again with the same Idempotency-Key; nothing is "
                "counted twice",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        self.metrics.fallbacks.labels(f"feedback:{away.dependency}_unavailable").inc()

    async def _remember(
        self,
        told: Told,
        fresh: Sequence[int],
        idempotency_key: str | None,
        answer: dict[str, Any],
    ) -> None:
        stored = orjson.dumps({"of": told.fingerprint, "answer": answer})
        try:
            await self.memory_breaker.call(
                lambda: self.memory.remember(
                    [told.deeds[index] for index in fresh],
                    user_id=told.user_id,
                    request_id=told.request_id,
                    idempotency_key=idempotency_key,
                    answer=stored,
                ),
                timeout_s=self.memory_timeout_s,
            )
        except DependencyUnavailableError as error:
            self.metrics.fallbacks.labels(f"feedback:{error.dependency}_unavailable").inc()

    def _count(self, told: Told, fresh: Sequence[int]) -> None:
        for index, event in enumerate(told.events):
            outcome = "accepted" if index in fresh else "duplicate"
            self.metrics.feedback.labels(event.event_type, outcome).inc()


def told_by(request: FeedbackRequest, *, now_ms: int, idempotency_key: str | None) -> Told:
    """What a request of document 000's shape tells."""
    entries = range(len(request.feedback))
    return Told(
        user_id=request.user_id,
        request_id=request.request_id or "",
        events=[
            event_of(request, index, now_ms=now_ms, idempotency_key=idempotency_key)
            for index in entries
        ],
        deeds=[Deed(request.user_id, one.item_id, one.action) for one in request.feedback],
        places=[f"feedback.{index}" for index in entries],
        fingerprint=fingerprint(request),
    )


def event_of(
    request: FeedbackRequest, index: int, *, now_ms: int, idempotency_key: str | None
) -> UserEvent:
    """The event of one entry."""
    one, where = request.feedback[index], request.context
    return UserEvent(
        event_id=event_id(request, index, now_ms=now_ms, idempotency_key=idempotency_key),
        user_id=request.user_id,
        event_type=one.action,
        timestamp_ms=to_ms(one.timestamp) if one.timestamp else now_ms,
        item_id=one.item_id,
        session_id=request.session_id,
        duration_ms=one.duration_ms,
        completion_rate=one.completion_rate,
        position=one.position,
        request_id=request.request_id,
        quantity=one.quantity,
        price=one.price,
        reward_override=one.reward_override,
        page_type=where.page_type,
        device_type=where.device,
        platform=where.platform,
        country=where.geo.country,
        region=where.geo.region,
        city=where.geo.city,
    )


def event_id(
    request: FeedbackRequest, index: int, *, now_ms: int, idempotency_key: str | None
) -> str:
    """The same for the same entry of the same request, sent however often.

    Without a key and without a time of its own, an entry counts as new each time: two real clicks
    can't be told from a repeated one.
    """
    one = request.feedback[index]
    when = to_ms(one.timestamp) if one.timestamp else None
    if when is None and idempotency_key is None:
        when = now_ms
    known_by = idempotency_key or request.request_id
    parts = (request.user_id, known_by, index, one.item_id, one.action, when)
    return sha256(orjson.dumps(parts)).hexdigest()[:32]


class Dumped(Protocol):
    """A checked body."""

    def model_dump_json(self) -> str:
        """All of it."""
        ...


def fingerprint(request: Dumped) -> str:
    """Tells two bodies apart."""
    return sha256(request.model_dump_json().encode()).hexdigest()[:32]


def _unusable(refused: Refusal, place: str) -> ApiError:
    return ApiError(
        400,
        "invalid_value",
        message=f"{place or 'the body'} can't be used ({refused.reason}): {refused.detail}",
        field=place or None,
        hint="correct it and send the whole request again",
    )


def _fresh(told: Told, remembered: Remembered) -> list[int]:
    """The entries that were not told before, nor twice in this request."""
    sent_with = remembered.requests or (None,) * len(told.deeds)
    fresh: dict[Deed, int] = {}
    for index, (deed, last) in enumerate(zip(told.deeds, sent_with, strict=True)):
        if last != told.request_id and deed not in fresh:
            fresh[deed] = index
    return list(fresh.values())


def _answer(*, processed: int, of: int, started: float) -> dict[str, Any]:
    return {
        "status": "accepted",
        "processed": processed,
        "duplicates": of - processed,
        "latency_ms": round((time.perf_counter() - started) * 1000, 3),
    }


class _Kept(BaseModel):
    """An answer under its key, and what it was an answer to."""

    of: str
    answer: FeedbackAnswer


def _kept(stored: bytes | None) -> _Kept | None:
    """The answer that a key got before; one that can't be read counts as none.

    Then the events come again with the ids that they had, by which the job knows them.
    """
    if stored is None:
        return None
    try:
        return _Kept.model_validate_json(stored)
    except ValidationError as error:
        log.warning("a remembered answer can't be read, and counts as none", error=str(error))
        return None


def _answer_again(kept: _Kept, print_of_body: str) -> dict[str, Any]:
    if kept.of != print_of_body:
        raise ApiError(
            409,
            "idempotency_key_reused",
            message="this Idempotency-Key was used in the last 24 h with another body",
            field="Idempotency-Key",
            hint="use a new key for a new request, and the same key only to repeat one",
        )
    return kept.answer.model_dump()
