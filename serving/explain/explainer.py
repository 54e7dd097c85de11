"""Explains why an item was shown: from a kept answer that has it, or from the user as of now."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import structlog

from domain.beside import together
from domain.contributions import falls
from domain.ranking_prior import prior_network
from domain.reasons import reasoned
from schemas.codec import DecodeError, RecordT, decode
from schemas.types import AnswerTrace, RankingTrace
from serving.breaker import Breaker, DependencyUnavailableError
from serving.catalog import Catalog
from serving.deadline import Deadline
from serving.errors import ApiError, shown, unavailable
from serving.evidence.retelling import Floats, Recorded, history_of, items_of, replay, tell
from serving.evidence.what_if import Compared, Means, NoSuchEventError, compared
from serving.explain.facts import Case, facts_of, machine_trace, seen_by
from serving.explain.present import PresentState
from serving.explain.requests import ExplainRequest, WhatIf
from serving.metrics import Metrics
from serving.ports import Neighbors, Scores
from serving.reason_prompt import Style
from serving.reasoner import Reasoner
from serving.similar import unknown_item
from serving.stages.candidates import LATEST_LIKED
from serving.stages.rank import LIGHT, PRIOR

log = structlog.get_logger(__name__)


class KeptTraces(Protocol):
    """Where traces are read."""

    async def answer(self, request_id: str) -> bytes | None:
        """The trace of an answer."""
        ...

    async def ranking(self, key: str) -> bytes | None:
        """The trace of a ranking."""
        ...

    async def answers_of(self, user_id: str) -> list[bytes]:
        """The traces of a user's answers, the latest first."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Explainer:
    """Reads traces and says what they say; nothing is decided again."""

    store: KeptTraces
    present: PresentState
    catalog: Catalog
    neighbors: Neighbors
    ranker: Scores
    redis: Breaker
    triton: Breaker
    metrics: Metrics
    deadline_s: float
    redis_timeout_s: float
    triton_timeout_s: float
    reasoner: Reasoner | None = None

    async def answer(self, request: ExplainRequest, *, request_id: str) -> dict[str, Any]:
        """The answer as document 000 shapes it, with more; raises what can't be explained."""
        deadline = Deadline(self.deadline_s)
        case = await self._case(request, request_id)
        divided = await self._divided(case)
        facts = facts_of(case, divided, await self._neighbour(case))
        style = request.context.explanation_style
        said = _plain(asdict(reasoned(facts, style=style)))
        written = await self._written({**facts, **said}, style, deadline)
        return {
            "item_id": request.item_id,
            "explanation": {**said, **written, "llm_generated": bool(written)},
            "basis": "answer" if case.recorded else "present_state",
            "request_id": case.recorded.answer.request_id if case.recorded else None,
            "notes": list(case.notes),
            "trace": await self._trace(case, facts) if request.include_trace else None,
            "what_if": await self._what_if(case, request.what_if) if request.what_if else None,
            "latency_ms": round(deadline.elapsed_s() * 1000, 3),
        }

    async def _written(
        self, facts: Mapping[str, Any], style: Style, deadline: Deadline
    ) -> dict[str, str]:
        """The sentences of a language model, where there is one and it writes them in time."""
        if self.reasoner is None:
            return {}
        told = {**facts, "newcomer": facts["cold_start"]}
        timeout_s = min(self.reasoner.timeout_s, deadline.left_s())
        text = await self.reasoner.explanation(told, style, timeout_s)
        return {} if text is None else {"headline": text.headline, "detailed": text.detailed}

    async def _case(self, request: ExplainRequest, request_id: str) -> Case:
        notes: list[str] = []
        answer = await self._kept_answer(request, notes)
        recorded = await self._recorded(answer, notes) if answer else None
        if recorded is None:
            if request.request_id or request.what_if:
                raise not_kept(request.request_id)
            return await self._now(request, request_id, notes)
        ids = _ids(recorded.answer)
        if request.item_id not in ids:
            raise not_shown(request.item_id, recorded.answer.request_id)
        told = await tell(recorded)
        return Case.of(told, at=ids.index(request.item_id), notes=notes)

    async def _now(self, request: ExplainRequest, request_id: str, notes: list[str]) -> Case:
        row = self.catalog.row(request.item_id)
        if row is None or self.catalog.entries[row] is None:
            raise unknown_item(request.item_id)
        notes.append("no kept answer has the item: this is what would speak for it now")
        chosen = await self.present.chosen(request, row, request_id=request_id)
        return Case(
            chosen=chosen,
            catalog=self.catalog,
            at=0,
            policy=self.present.policy,
            policy_weight=self.present.policy_weight,
            notes=notes,
        )

    async def _kept_answer(self, request: ExplainRequest, notes: list[str]) -> AnswerTrace | None:
        """The answer that was named, or the latest that has the item."""
        user_id, named = request.user_id, request.request_id
        try:
            stored = await self.redis.call(
                lambda: self._stored(user_id, named), timeout_s=self.redis_timeout_s
            )
        except DependencyUnavailableError as error:
            if named or request.what_if:
                raise unavailable(
                    f"what answers were made of can't be read: {error}",
                    hint="try again in a moment",
                    retry_after_s=1,
                ) from error
            self.metrics.fallbacks.labels(f"explain:{error.dependency}_unavailable").inc()
            notes.append(f"what was kept can't be read: {error}")
            return None
        # To read a record takes a while, and most of a user's don't have the item's id anywhere.
        sought = (one for one in stored if named or request.item_id.encode() in one)
        for one in sought:
            answer = _read(one, AnswerTrace)
            if answer and answer.user_id == user_id and (named or request.item_id in _ids(answer)):
                return answer
        return None

    async def _stored(self, user_id: str, request_id: str | None) -> list[bytes]:
        if request_id is None:
            return await self.store.answers_of(user_id)
        found = await self.store.answer(request_id)
        return [] if found is None else [found]

    async def _recorded(self, answer: AnswerTrace, notes: list[str]) -> Recorded | None:
        try:
            stored = await self.redis.call(
                lambda: self.store.ranking(answer.ranking), timeout_s=self.redis_timeout_s
            )
        except DependencyUnavailableError as error:
            notes.append(f"what was kept can't be read: {error}")
            return None
        ranking = _read(stored, RankingTrace) if stored else None
        if ranking is None:
            notes.append("the ranking of the answer is kept no more")
            return None
        try:
            ids = items_of(history_of(answer), ranking)
        except DecodeError as error:
            notes.append(f"what was kept of the user's history can't be read: {error.reason}")
            return None
        return Recorded(answer=answer, ranking=ranking, vectors=vectors_of(self.catalog, ids))

    async def _divided(self, case: Case) -> Mapping[str, float]:
        """By what the ranker's part is divided: as the model that scored it says, if it can."""
        rows = seen_by(case)
        if rows is None:
            return case.light_falls()
        return falls(await self._scored(rows, case.model, case.notes))

    async def _scored(self, rows: Floats, model: str, notes: list[str]) -> Floats:
        if model in (PRIOR, LIGHT):
            return prior_network().score(rows)
        try:
            ranking = await self.triton.call(
                lambda: self.ranker.rank(rows), timeout_s=self.triton_timeout_s
            )
        except DependencyUnavailableError as error:
            notes.append(f"{model} can't be asked, so the prior says what counted in it: {error}")
            return prior_network().score(rows)
        if ranking.model_version != model:
            notes.append(f"the answer was scored by {model}; {ranking.model_version} is asked now")
        return ranking.scores

    async def _neighbour(self, case: Case) -> str | None:
        """Beside which of the user's items the item is met most, as far as it is still so."""
        liked = case.liked[:LATEST_LIKED]
        if not case.beside or not liked:
            return None
        views = await self._views(liked)
        if views is None:
            return None
        shares = [dict(view).get(case.item_id, 0.0) for view in views]
        greatest = int(np.argmax(shares))
        return liked[greatest] if shares[greatest] > 0 else None

    async def _views(self, item_ids: Sequence[str]) -> list[Sequence[tuple[str, float]]] | None:
        try:
            found = await self.redis.call(
                lambda: self.neighbors.of(item_ids), timeout_s=self.redis_timeout_s
            )
        except DependencyUnavailableError:
            return None
        return [one.scored if one else () for one in found]

    async def _beside(self, item_ids: Sequence[str]) -> Mapping[str, float] | None:
        if not item_ids:
            return {}
        views = await self._views(item_ids[:LATEST_LIKED])
        return None if views is None else together(views)

    async def _trace(self, case: Case, facts: Mapping[str, Any]) -> dict[str, Any]:
        told = machine_trace(case, facts)
        if case.recorded:
            again = await replay(case.recorded)
            told["replay"] = {
                "same_bytes": again.same,
                "differences": list(again.differences),
            }
        return told

    async def _what_if(self, case: Case, what: WhatIf) -> dict[str, Any]:
        assert case.recorded is not None
        notes: list[str] = []

        async def score(rows: Floats) -> Floats:
            return await self._scored(rows, case.model, notes)

        emotion = what.emotion
        try:
            found = await compared(
                case.recorded,
                without_event=what.without_event,
                emotion=emotion
                if emotion is None or isinstance(emotion, str)
                else emotion.model_dump(),
                exploration=what.exploration is None,
                means=Means(score=score, beside=self._beside),
            )
        except NoSuchEventError as error:
            raise no_such_event(str(error)) from error
        return self._shaped(replace(found, notes=(*found.notes, *notes)), what)

    def _shaped(self, found: Compared, what: WhatIf) -> dict[str, Any]:
        return {
            "supposed": what.model_dump(exclude_none=True),
            "before": list(found.before),
            "after": list(found.after),
            "items": [
                {
                    **asdict(one),
                    "title": self._title(one.item_id),
                    "moved": one.rank_before - one.rank_after
                    if one.rank_before and one.rank_after
                    else 0,
                    "score_before": round(one.score_before, 6),
                    "score_after": round(one.score_after, 6),
                }
                for one in found.moves
            ],
            "changed": found.before != found.after,
            "notes": list(found.notes),
        }

    def _title(self, item_id: str) -> str:
        row = self.catalog.row(item_id)
        entry = self.catalog.entries[row] if row is not None else None
        return entry.title if entry else ""


def vectors_of(catalog: Catalog, item_ids: Sequence[str]) -> dict[str, Floats]:
    """The vectors that the process has of some items."""
    vectors = catalog.column("vectors")
    rows = {one: row for one in item_ids if (row := catalog.row(one)) is not None}
    return {one: vectors[row] for one, row in rows.items()}


def _ids(answer: AnswerTrace) -> Sequence[str]:
    return [place.item_id for place in answer.places]


def _read(stored: bytes, kind: type[RecordT]) -> RecordT | None:
    """A record, None for one of another release that this one can't read."""
    try:
        return decode(stored, kind)
    except DecodeError as error:
        log.info("a trace can't be read, and counts as not kept", reason=error.reason)
        return None


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "factors": list(said["factors"])}


def not_kept(request_id: str | None) -> ApiError:
    """The 404 of an answer that is not there, or not this user's."""
    which = f"answer {shown(request_id)}" if request_id else "answer that has the item"
    return ApiError(
        404,
        "answer_not_kept",
        message=f"no {which} of this user is kept",
        field="request_id" if request_id else None,
        hint="answers are kept for serving.traces_s, of serving.traces_per_s a second at most; ask "
        "for a list, and then again",
    )


def not_shown(item_id: str, request_id: str) -> ApiError:
    """The 404 of an item that an answer doesn't have."""
    return ApiError(
        404,
        "item_not_shown",
        message=f"answer {shown(request_id)} doesn't have item {shown(item_id)}",
        field="item_id",
        hint="name an item of that answer, or leave out request_id",
    )


def no_such_event(event: str) -> ApiError:
    """The 400 of an event that can't be taken away."""
    return ApiError(
        400,
        "unknown_event",
        message=f"what_if.without_event is {shown(event)}, which is no recent event of the answer, "
        "nor an item of one",
        field="what_if.without_event",
        hint="give an event_id, or an item_id that include_trace lists under trace.context.recent",
    )
