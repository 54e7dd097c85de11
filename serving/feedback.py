"""Takes feedback: into the event log first, then remembered, so that nothing accepted is lost."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import orjson

from domain.events import EventLimits, refusal
from schemas.topics import USER_EVENTS
from schemas.types import UserEvent
from serving.breaker import Breaker, DependencyUnavailableError
from serving.errors import ApiError, unavailable
from serving.metrics import Metrics
from serving.ports import Log
from serving.requests import FeedbackRequest, to_ms
from stores.feedback_memory import NOTHING, Deed, Remembered

RETRY_AFTER_S = 2


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


@dataclass(frozen=True, kw_only=True, eq=False)
class FeedbackIntake:
    """Accepts a request once its events are in the log.

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

    async def accept(self, request: FeedbackRequest, *, idempotency_key: str | None) -> bytes:
        """The answer's body, after Kafka's word; `ApiError` where it can't be accepted."""
        started = time.perf_counter()
        events = self._events(request, idempotency_key)
        deeds = [Deed(request.user_id, one.item_id, one.action) for one in request.feedback]
        remembered = await self._recall(request, deeds, idempotency_key)
        print_of_body = fingerprint(request)
        if remembered.answer is not None:
            return _answer_again(remembered.answer, print_of_body)
        fresh = _fresh(deeds, remembered, request.request_id)
        await self._append([events[index] for index in fresh])
        answer = _answer(processed=len(fresh), of=len(events), started=started)
        await self._remember(request, [deeds[i] for i in fresh], idempotency_key, answer)
        self._count(request, fresh)
        return orjson.dumps(answer)

    def _events(self, request: FeedbackRequest, idempotency_key: str | None) -> list[UserEvent]:
        now_ms = self.now_ms()
        events = [
            event_of(request, index, now_ms=now_ms, idempotency_key=idempotency_key)
            for index in range(len(request.feedback))
        ]
        for index, event in enumerate(events):
            self._check(event, index, now_ms)
        return events

    def _check(self, event: UserEvent, index: int, now_ms: int) -> None:
        """Refuse now what the job would refuse later."""
        refused = refusal(event, key=event.user_id.encode(), log_time_ms=now_ms, limits=self.limits)
        if refused:
            raise ApiError(
                400,
                "invalid_value",
                message=f"feedback.{index} can't be used ({refused.reason}): {refused.detail}",
                field=f"feedback.{index}",
                hint="correct it and send the whole request again",
            )

    async def _recall(
        self, request: FeedbackRequest, deeds: list[Deed], idempotency_key: str | None
    ) -> Remembered:
        try:
            return await self.memory_breaker.call(
                lambda: self.memory.recall(
                    deeds, user_id=request.user_id, idempotency_key=idempotency_key
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
            raise unavailable(
                f"the event log did not take the feedback ({error.cause})",
                hint="send the same request again with the same Idempotency-Key; nothing is "
                "counted twice",
                retry_after_s=RETRY_AFTER_S,
            ) from error

    async def _remember(
        self,
        request: FeedbackRequest,
        deeds: list[Deed],
        idempotency_key: str | None,
        answer: dict[str, Any],
    ) -> None:
        stored = orjson.dumps({"of": fingerprint(request), "answer": answer})
        try:
            await self.memory_breaker.call(
                lambda: self.memory.remember(
                    deeds,
                    user_id=request.user_id,
                    request_id=request.request_id or "",
                    idempotency_key=idempotency_key,
                    answer=stored,
                ),
                timeout_s=self.memory_timeout_s,
            )
        except DependencyUnavailableError as error:
            self.metrics.fallbacks.labels(f"feedback:{error.dependency}_unavailable").inc()

    def _count(self, request: FeedbackRequest, fresh: list[int]) -> None:
        for index, one in enumerate(request.feedback):
            outcome = "accepted" if index in fresh else "duplicate"
            self.metrics.feedback.labels(one.action, outcome).inc()


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


def fingerprint(request: FeedbackRequest) -> str:
    """Tells two bodies apart."""
    return sha256(request.model_dump_json().encode()).hexdigest()[:32]


def _fresh(deeds: list[Deed], remembered: Remembered, request_id: str | None) -> list[int]:
    """The entries that were not sent with this request in the last minute, nor twice in it."""
    sent_with = remembered.requests or (None,) * len(deeds)
    fresh: dict[Deed, int] = {}
    for index, (deed, last) in enumerate(zip(deeds, sent_with, strict=True)):
        if last != (request_id or "") and deed not in fresh:
            fresh[deed] = index
    return list(fresh.values())


def _answer(*, processed: int, of: int, started: float) -> dict[str, Any]:
    return {
        "status": "accepted",
        "processed": processed,
        "duplicates": of - processed,
        "latency_ms": round((time.perf_counter() - started) * 1000, 3),
    }


def _answer_again(stored: bytes, print_of_body: str) -> bytes:
    kept = orjson.loads(stored)
    if kept["of"] != print_of_body:
        raise ApiError(
            409,
            "idempotency_key_reused",
            message="this Idempotency-Key was used in the last 24 h with another body",
            field="Idempotency-Key",
            hint="use a new key for a new request, and the same key only to repeat one",
        )
    return orjson.dumps(kept["answer"])
