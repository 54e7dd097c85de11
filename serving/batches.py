"""Several lists in one request: each is answered or refused by itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, Field, SkipValidation, ValidationError

from serving.answers import Answer, ErrorDetail, PersonalizeAnswer
from serving.callers import Caller
from serving.deadline import Deadline
from serving.errors import ApiError, internal, invalid
from serving.request_scope import begin_request, current_request_id
from serving.requests import Model, PersonalizeRequest
from serving.service import Service
from settings.model import MOST_IN_BATCH

Reach = Callable[[str], Caller]
log = structlog.get_logger(__name__)


class BatchRequest(Model):
    """Asks for lists for one user or several."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "requests": [
                        {"user_id": "u-17850", "context": {"placement": "hero"}},
                        {"user_id": "u-17850", "context": {"placement": "feed"}},
                    ]
                }
            ]
        }
    )

    # Checked one by one, so that a wrong one is refused alone.
    requests: list[SkipValidation[PersonalizeRequest]] = Field(
        min_length=1,
        max_length=MOST_IN_BATCH,
        description="each as POST /v1/personalize takes it; at most serving.most_in_batch of them",
    )


class BatchEntry(Answer):
    """An answer, or an error and when to come back; `status` is what it alone would have had."""

    status: int = Field(examples=[200, 429])
    answer: PersonalizeAnswer | None = None
    error: ErrorDetail | None = None
    retry_after_s: int | None = None


class BatchAnswer(Answer):
    """What became of each request."""

    request_id: str
    answers: list[BatchEntry] = Field(description="in the order of the requests")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Answers the requests of one body at once; the time that they have, they have together."""

    service: Service
    reach: Reach
    deadline: Deadline

    async def answer(self, body: BatchRequest) -> dict[str, Any]:
        """What became of each."""
        check_size(body, most=self.service.most_in_batch)
        answers = await asyncio.gather(*(self._entry(one) for one in body.requests))
        return {"request_id": current_request_id(), "answers": answers}

    async def _entry(self, given: Any) -> dict[str, Any]:
        """One of them; as a task of its own it has an id of its own."""
        begin_request()
        try:
            return {"status": 200, "answer": await self._listed(checked(given))}
        except ApiError as refusal:
            return self._refused(refusal)
        except Exception as error:
            log.exception("unexpected error", error=repr(error))
            return self._refused(internal())

    async def _listed(self, asked: PersonalizeRequest) -> dict[str, Any]:
        made, _, _ = await self.service.listed(
            self.reach(asked.user_id), asked.user_id, lambda: asked, deadline=self.deadline
        )
        return made

    def _refused(self, refusal: ApiError) -> dict[str, Any]:
        self.service.metrics.errors.labels(refusal.code).inc()
        entry: dict[str, Any] = {"status": refusal.status_code, "error": refusal.told()}
        if after := (refusal.headers or {}).get("Retry-After"):
            entry["retry_after_s"] = int(after)
        return entry


def check_size(body: BatchRequest, *, most: int) -> None:
    """Refuse more requests than this service takes at a time."""
    if len(body.requests) <= most:
        return
    raise ApiError(
        400,
        "invalid_value",
        message=f"requests has {len(body.requests)}; at most {most} are answered at a time",
        field="requests",
        hint="send several batches, or raise serving.most_in_batch",
    )


def checked(given: Any) -> PersonalizeRequest:
    """The request, or the refusal that it would get alone."""
    try:
        # As the framework has it, so that the refusal has the same words.
        return PersonalizeRequest.model_validate(given, from_attributes=True)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise invalid(RequestValidationError(found), PersonalizeRequest) from error
