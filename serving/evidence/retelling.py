"""Makes of the records of an answer what its stages had, and lets the last stages run again.

Nothing is asked of any server, and no clock: what the stages need is in the records, but for the
vectors of items, which are told by their fingerprints from those that are there now.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from zlib import decompress
from zlib import error as zlib_error

import numpy as np
import orjson
from numpy.typing import NDArray

from domain.experiments import Arm, Assignment, Changes
from domain.policies import Arms
from domain.ranking_features import Activity
from domain.taste import Met, Taste
from schemas.codec import DecodeError, decode
from schemas.types import (
    AnswerTrace,
    CandidateSource,
    HistoryTrace,
    ItemEvent,
    RankingTrace,
    TracedMet,
    TracedPlace,
)
from serving.beliefs import BeliefCache, Beliefs
from serving.catalog import Catalog
from serving.deadline import Deadline
from serving.evidence.packing import fingerprints, unpacked, unpacked_bits
from serving.evidence.taking import ANSWER, SHAPES, digest_of
from serving.requests import PersonalizeRequest
from serving.stages.admit import Admitted, admit, plainly
from serving.stages.answer import Chosen
from serving.stages.context import Known
from serving.stages.explore import ExploreStage, Tried
from serving.stages.rerank import rerank
from serving.stages.shortlist import Evidence, Likeness, Shortlist
from serving.trace import Step, Trace
from stores.views import ItemView, UserView

Floats = NDArray[np.float32]
# Where a vector isn't known to be that of the answer.
Vectors = Mapping[str, Floats]
NO_VECTOR = np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """The two records of an answer, and the vectors of their items as they are now."""

    answer: AnswerTrace
    ranking: RankingTrace
    vectors: Vectors

    @property
    def item_ids(self) -> tuple[str, ...]:
        """All items that the answer has to do with."""
        return items_of(self.history, self.ranking)

    @cached_property
    def history(self) -> HistoryTrace:
        """What the user did lately."""
        return history_of(self.answer)


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """An answer as its stages had it, and a catalogue of the items that it has to do with.

    `changed` names items whose vectors are no longer those of the answer.
    """

    recorded: Recorded
    chosen: Chosen
    catalog: Catalog
    trace: Trace
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A body made again; `differences` say what isn't as it was."""

    body: bytes
    same: bool
    differences: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Supposed:
    """What is taken to have been otherwise; the default is that nothing was."""

    admitted: Callable[[Admitted], Admitted] = field(default=lambda one: one)
    known: Callable[[Known], Known] = field(default=lambda one: one)
    shortlist: Callable[[Shortlist], Shortlist] = field(default=lambda one: one)


AS_IT_WAS = Supposed()


class RecordedBeliefs:
    """Gives what was believed, whatever is asked; in the place of the cache."""

    def __init__(self, beliefs: Beliefs) -> None:
        self._beliefs = beliefs

    async def of(self, item_ids: Sequence[str], *_: object, **__: object) -> Beliefs:
        """The beliefs of the answer, for the items of which they are."""
        assert len(item_ids) == len(self._beliefs.versions)
        return self._beliefs


class RecordedDeadline(Deadline):
    """A clock that stands where the answer's stood when it was sent."""

    def __init__(self, latency_ms: float) -> None:
        super().__init__(1.0, clock=lambda: 0.0)
        self._latency_ms = latency_ms

    def elapsed_s(self) -> float:
        """What the answer says."""
        return self._latency_ms / 1000


def history_of(answer: AnswerTrace) -> HistoryTrace:
    """What the user of an answer did lately; raises `DecodeError`."""
    try:
        return decode(decompress(answer.history), HistoryTrace)
    except zlib_error as error:
        raise DecodeError("corrupt", f"the history isn't deflated: {error}") from error


def items_of(history: HistoryTrace, ranking: RankingTrace) -> tuple[str, ...]:
    """All items of which an answer needs vectors.

    The ranking's come first, so that they stand in the catalogue as in the ranking.
    """
    return tuple(dict.fromkeys((*ranking.ids, *(one.item_id for one in history.met))))


async def replay(recorded: Recorded) -> Replayed:
    """The body made again, and whether it has the same bytes."""
    told = await tell(recorded)
    body = orjson.dumps(SHAPES[recorded.answer.shape](told.chosen, told.catalog, told.trace))
    same = digest_of(body) == recorded.answer.digest
    return Replayed(body=body, same=same, differences=() if same else tuple(differences(told)))


def differences(told: Told) -> list[str]:
    """What isn't as it was, as far as the records tell."""
    answer, chosen = told.recorded.answer, told.chosen
    found = [f"the vector of {item_id} has changed since" for item_id in told.changed]
    if chosen.tried.segment != answer.segment:
        found.append(f"the segment was {answer.segment}, and comes out as {chosen.tried.segment}")
    found += [
        f"place {rank} had {told.recorded.ranking.ids[was.index]}, and comes out as "
        f"{chosen.shortlist.ids[slot.index]}"
        for rank, (was, slot) in enumerate(zip(answer.places, chosen.slots, strict=False), start=1)
        if was.index != slot.index
    ]
    if len(answer.places) != len(chosen.slots):
        found.append(f"there were {len(answer.places)} places, and come out {len(chosen.slots)}")
    return found or ["the places are the same, but the body isn't: it was shaped by other code"]


async def tell(recorded: Recorded, supposed: Supposed = AS_IT_WAS) -> Told:
    """Let the last stages run again, on what they had or on what is supposed."""
    answer, ranking = recorded.answer, recorded.ranking
    catalog, changed = catalogue_of(recorded)
    admitted = supposed.admitted(_admitted(answer))
    known = supposed.known(_known(recorded))
    shortlist = supposed.shortlist(_shortlist(ranking, catalog))
    trace = _trace(answer)
    again = Trace()
    tried = await _explored(answer, admitted, known, shortlist, again)
    slots = rerank(admitted, shortlist, tried, catalog=catalog, trace=again)
    chosen = Chosen(
        admitted=admitted,
        known=known,
        shortlist=shortlist,
        tried=tried,
        slots=slots,
        cached=answer.cached,
        reasons={
            rank: place.written
            for rank, place in enumerate(answer.places, start=1)
            if place.written is not None
        },
    )
    return Told(
        recorded=recorded, chosen=chosen, catalog=catalog, trace=trace, changed=tuple(changed)
    )


def catalogue_of(recorded: Recorded) -> tuple[Catalog, list[str]]:
    """A catalogue of the items of an answer as it saw them, and those whose vectors differ."""
    answer, ranking, vectors = recorded.answer, recorded.ranking, recorded.vectors
    history = recorded.history
    expected = _fingerprints(history, ranking)
    known = {name: vectors[name] for name in expected if name in vectors}
    marks = fingerprints(np.stack(list(known.values()))).tolist() if known else []
    seen = dict(zip(known, marks, strict=True))
    changed = [name for name, mark in expected.items() if mark and seen.get(name) != mark]
    dim = max((len(vector) for vector in vectors.values()), default=1)
    catalog = Catalog(dim=dim)
    shown = {ranking.ids[place.index]: place for place in answer.places}
    titles = {one.item_id: one.title for one in history.met}
    categories = dict(zip(ranking.ids, _categories(ranking), strict=True))
    items = [
        ItemView(
            item_id=name,
            changed_at_ms=0,
            catalog=_entry(name, shown.get(name), titles.get(name), categories.get(name)),
            vector=known.get(name) if expected[name] else None,
        )
        for name in recorded.item_ids
    ]
    catalog.apply(items, now_ms=answer.now_ms)
    _set_lists(catalog, answer, ranking)
    return catalog, changed


def _fingerprints(history: HistoryTrace, ranking: RankingTrace) -> dict[str, int]:
    marks = unpacked(ranking.vectors, "<i8", count=len(ranking.ids)).tolist()
    met = {one.item_id: one.vector for one in history.met}
    return met | dict(zip(ranking.ids, marks, strict=True))


def _entry(
    item_id: str, place: TracedPlace | None, title: str | None, category: str | None
) -> ItemEvent:
    if place is not None and place.shown:
        return ItemEvent(
            item_id=item_id,
            updated_at_ms=0,
            title=place.title,
            category_id=place.category,
            price=place.price,
            image_url=place.image_url,
        )
    return ItemEvent(item_id=item_id, updated_at_ms=0, title=title or "", category_id=category)


def _set_lists(catalog: Catalog, answer: AnswerTrace, ranking: RankingTrace) -> None:
    """Let each item stand where it stood, with nothing between."""
    trending, popular = {}, {}
    for place in answer.places:
        row = catalog.row(ranking.ids[place.index])
        trending[place.trending], popular[place.popular] = row, row
        if not place.shown and row is not None:
            catalog.entries[row] = None
    catalog.trending = _ordered(trending)
    catalog.popular = np.array(_ordered(popular), np.int64)
    catalog.version = answer.catalogue_version


def _ordered(rows: Mapping[int, int | None]) -> list[int]:
    nobody = -1
    return [
        nobody if (row := rows.get(place)) is None else row
        for place in range(1, max(rows, default=0) + 1)
    ]


def _admitted(answer: AnswerTrace) -> Admitted:
    admitted = _as_asked(answer)
    spared = any(name.startswith("admit:") for name in answer.fallbacks)
    return plainly(admitted) if spared else admitted


def _as_asked(answer: AnswerTrace) -> Admitted:
    return admit(
        PersonalizeRequest.model_validate_json(answer.request),
        request_id=answer.request_id,
        now_ms=answer.now_ms,
        deadline=RecordedDeadline(answer.latency_ms),
        assignments=tuple(
            Assignment(
                experiment_id=one.experiment_id,
                arm=Arm(
                    name=one.arm,
                    weight=1.0,
                    posteriors=cast("Any", one.posteriors),
                    changes=Changes(
                        exploration_rate=one.exploration_rate,
                        diversity_weight=one.diversity_weight,
                        policy=cast("Any", one.policy),
                    ),
                ),
                forced=one.forced,
            )
            for one in answer.arms
        ),
    )


def _known(recorded: Recorded) -> Known:
    user, history = recorded.answer.user, recorded.history
    met = tuple(_met(one, recorded.vectors) for one in history.met)
    return Known(
        view=UserView(
            user_id=recorded.answer.user_id,
            version=user.version,
            timestamp_ms=user.timestamp_ms,
            log_time_ms=user.log_time_ms,
            consent=user.consent,
            session_id=user.session_id,
            session_start_ms=user.session_start_ms,
            session_interactions=user.session_interactions,
            device_type=user.device_type,
            country=user.country,
            emotion=user.emotion,
            # That there were vectors is all that the last stages ask.
            embedding=NO_VECTOR if user.has_vector else None,
            embedding_version=user.embedding_version,
        ),
        met=met,
        taste=Taste(
            mean=NO_VECTOR if user.has_taste else None, category_share=history.category_share
        ),
        activity=Activity(
            views_5min=user.views_5m,
            clicks_5min=user.clicks_5m,
            events_1h=user.events_1h,
            events_24h=user.events_24h,
            interactions=user.interactions,
            last_event_ms=user.last_event_ms,
        ),
    )


def _met(one: TracedMet, vectors: Vectors) -> Met:
    return Met(
        item_id=one.item_id,
        action=one.action,
        at_ms=one.at_ms,
        vector=vectors.get(one.item_id) if one.vector else None,
        category=one.category,
        price=one.price,
    )


def _categories(ranking: RankingTrace) -> list[str | None]:
    names = (*ranking.category_names, None)
    return [names[at] for at in unpacked(ranking.categories, "<i2", count=len(ranking.ids))]


def _shortlist(ranking: RankingTrace, catalog: Catalog) -> Shortlist:
    count = len(ranking.ids)
    sources = unpacked(ranking.sources, "<i2", count=count).tolist()
    rows = np.array(catalog.rows(ranking.ids), np.int64)
    return Shortlist(
        rows=rows,
        ids=ranking.ids,
        sources=tuple(cast("CandidateSource", ranking.source_names[at]) for at in sources),
        scores=unpacked(ranking.scores, "<f4", count=count),
        freshness=unpacked(ranking.freshness, "<f4", count=count),
        price_affinity=unpacked(ranking.price_affinity, "<f4", count=count),
        novel=unpacked_bits(ranking.novel, count=count),
        reserve=unpacked_bits(ranking.reserve, count=count),
        traits={name: unpacked_bits(one, count=count) for name, one in ranking.traits.items()},
        model_version=ranking.model_version,
        likeness=Likeness(catalog, rows),
        evidence=Evidence(features=features_of(ranking)),
    )


def features_of(ranking: RankingTrace) -> Floats | None:
    """What the ranker saw, a row an item; None where no features were made."""
    if not ranking.features:
        return None
    count = len(ranking.ids)
    return np.stack([unpacked(one, "<f4", count=count) for one in ranking.features], axis=1)


def _trace(answer: AnswerTrace) -> Trace:
    trace = Trace()
    trace.fallbacks.extend(answer.fallbacks)
    told = orjson.loads(answer.steps)
    trace.steps.extend(Step(began=0.0, **step) for step in told if step["stage"] != ANSWER)
    return trace


async def _explored(
    answer: AnswerTrace, admitted: Admitted, known: Known, shortlist: Shortlist, trace: Trace
) -> Tried:
    beliefs = cast("BeliefCache", RecordedBeliefs(_beliefs(answer, count=len(shortlist.ids))))
    stage = ExploreStage(beliefs, timeout_s=1.0, policy=answer.policy, weight=answer.policy_weight)
    return await stage.run(admitted, known, shortlist, trace)


def _beliefs(answer: AnswerTrace, *, count: int) -> Beliefs:
    """What was believed. The context's word stands for its weights: times one it is itself."""
    said = answer.context_logits
    return Beliefs(
        arms=Arms(
            alpha=unpacked(answer.alpha, "<f8", count=count),
            beta=unpacked(answer.beta, "<f8", count=count),
            weights=unpacked(said, "<f4", count=count)[:, np.newaxis] if said else None,
            features=np.ones(1, np.float32) if said else None,
        ),
        versions=tuple(unpacked(answer.versions, "<i8", count=count).tolist()),
        lacking=answer.lacking,
    )
