"""What an answer was made of, as records: from what its stages have found, and nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary
from zlib import compress

import numpy as np
import orjson

from domain.candidates import Rows
from domain.experiments import Assignment
from domain.ranking_features import FEATURES
from domain.taste import Met, Taste
from schemas.codec import encode
from schemas.types import (
    AnswerTrace,
    HistoryTrace,
    Interaction,
    RankingTrace,
    TracedArm,
    TracedMet,
    TracedPlace,
    TracedUser,
)
from serving import recommendations
from serving.beliefs import Beliefs
from serving.catalog import Catalog
from serving.evidence.packing import fingerprints, packed, packed_bits
from serving.stages import answer
from serving.stages.answer import WORTH_SAYING, Chosen
from serving.stages.context import Known
from serving.stages.shortlist import Floats, Shortlist
from serving.trace import Trace

DIGEST_BYTES = 16
FASTEST = 1
# Ways to shape an answer, by the name under which traces know them.
SHAPES: Mapping[str, Callable[[Chosen, Catalog, Trace], dict[str, Any]]] = {
    "personalize": answer.body,
    "recommendations": recommendations.body,
}
# The stage during which the body is made; what comes then can't stand in it.
ANSWER = "answer"


@dataclass(frozen=True, kw_only=True, eq=False)
class Taken:
    """An answer as it was sent, with what the catalogue said at that moment.

    The lists of the catalogue are replaced as they change, never changed in place. `features` are
    given with the first answer that is made of a ranking.
    """

    chosen: Chosen
    trace: Trace
    made: Mapping[str, Any]
    shape: str
    trending: Sequence[int]
    popular: Rows
    catalogue_version: int
    entries_version: int
    ranking: str
    first: bool
    features: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """What all answers of a service are made by."""

    policy: str
    weight: float


def digest_of(body: bytes) -> bytes:
    """By which a body is known again.

    >>> len(digest_of(b"{}"))
    16
    """
    return blake2b(body, digest_size=DIGEST_BYTES).digest()


def shape_of(body: object) -> str:
    """The name of a way to shape an answer."""
    return next(name for name, made_by in SHAPES.items() if made_by is body)


def latency_of(shape: str, made: Mapping[str, Any]) -> float:
    """What an answer says of its own latency."""
    said = made["metadata"]["latency_ms"]
    return float(said if shape == "personalize" else said["total"])


class Histories:
    """What users did lately, written down once for as long as it is the same taste.

    A taste is remembered over requests, and to write it down is half of the work of a trace.
    """

    def __init__(self) -> None:
        self._written: WeakKeyDictionary[Taste, tuple[int, bytes]] = WeakKeyDictionary()

    def of(self, known: Known, catalog: Catalog) -> bytes:
        """The record of a user's history, deflated."""
        version, stored = self._written.get(known.taste, (-1, b""))
        # Titles are the catalogue's, and may have changed.
        if version != catalog.entries_version:
            made = HistoryTrace(
                category_share=known.taste.category_share, met=tuple(_met(known, catalog))
            )
            stored = compress(encode(made), FASTEST)
            self._written[known.taste] = (catalog.entries_version, stored)
        return stored


def answer_trace(taken: Taken, catalog: Catalog, going: Going, histories: Histories) -> AnswerTrace:
    """The record of an answer."""
    chosen, beliefs = taken.chosen, taken.chosen.tried.beliefs
    admitted, arms = chosen.admitted, chosen.tried.beliefs.arms
    return AnswerTrace(
        request_id=admitted.request_id,
        user_id=admitted.request.user_id,
        shape=taken.shape,
        digest=digest_of(orjson.dumps(taken.made)),
        request=admitted.request.model_dump_json(exclude_defaults=True),
        now_ms=admitted.now_ms,
        policy=going.policy,
        policy_weight=going.weight,
        arms=tuple(map(_arm, admitted.assignments)),
        ranking=taken.ranking,
        cached=chosen.cached,
        fallbacks=tuple(taken.trace.fallbacks),
        latency_ms=latency_of(taken.shape, taken.made),
        steps=_steps(taken.trace),
        catalogue_version=taken.catalogue_version,
        user=_user(chosen.known),
        history=histories.of(chosen.known, catalog),
        segment=chosen.tried.segment,
        alpha=packed(arms.alpha, "<f8"),
        beta=packed(arms.beta, "<f8"),
        context_logits=_logits(beliefs),
        versions=packed(np.array(beliefs.versions, np.int64), "<i8"),
        lacking=beliefs.lacking,
        places=tuple(_places(taken, catalog)),
    )


def ranking_trace(taken: Taken, catalog: Catalog) -> RankingTrace:
    """The record of a ranking, by the first answer that was made of it."""
    chosen = taken.chosen
    ranked, rows = chosen.shortlist, chosen.shortlist.rows
    sources, categories = _named(ranked.sources), _named(catalog.categories_of(rows))
    features = taken.features
    return RankingTrace(
        made_ms=chosen.admitted.now_ms,
        at_ms=chosen.admitted.at_ms,
        model_version=ranked.model_version,
        cold=chosen.known.is_cold,
        ids=ranked.ids,
        source_names=sources[0],
        sources=packed(sources[1], "<i2"),
        category_names=categories[0],
        categories=packed(categories[1], "<i2"),
        scores=packed(ranked.scores, "<f4"),
        freshness=packed(ranked.freshness, "<f4"),
        price_affinity=packed(ranked.price_affinity, "<f4"),
        prices=packed(catalog.column("prices")[rows], "<f8"),
        novel=packed_bits(ranked.novel),
        reserve=packed_bits(ranked.reserve),
        traits={name: packed_bits(mask) for name, mask in ranked.traits.items()},
        vectors=packed(fingerprints(catalog.column("vectors")[rows]), "<i8"),
        feature_names=() if features is None else FEATURES,
        features=() if features is None else tuple(packed(one, "<f4") for one in features.T),
    )


def _named(values: Sequence[str | None]) -> tuple[tuple[str, ...], "np.ndarray[Any, Any]"]:
    """Each name once, and of each value which name it is; -1: none."""
    names = tuple(dict.fromkeys(one for one in values if one is not None))
    number = {name: at for at, name in enumerate(names)}
    return names, np.array([-1 if one is None else number[one] for one in values], np.int16)


def _arm(one: Assignment) -> TracedArm:
    changes = one.arm.changes
    return TracedArm(
        experiment_id=one.experiment_id,
        arm=one.arm.name,
        forced=one.forced,
        posteriors=one.arm.posteriors,
        exploration_rate=changes.exploration_rate,
        diversity_weight=changes.diversity_weight,
        policy=changes.policy,
    )


def _steps(trace: Trace) -> str:
    told = [
        {"stage": step.stage, "ms": round(step.ms, 3), "noted": step.noted} for step in trace.steps
    ]
    return orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _user(known: Known) -> TracedUser:
    view, activity = known.view, known.activity
    return TracedUser(
        version=view.version,
        log_time_ms=view.log_time_ms,
        timestamp_ms=view.timestamp_ms,
        consent=view.consent,
        session_id=view.session_id,
        session_start_ms=view.session_start_ms,
        session_interactions=view.session_interactions,
        device_type=view.device_type,
        country=view.country,
        emotion=view.emotion,
        has_vector=view.embedding is not None,
        embedding_version=view.embedding_version,
        has_taste=known.taste.mean is not None,
        views_5m=activity.views_5min,
        clicks_5m=activity.clicks_5min,
        events_1h=activity.events_1h,
        events_24h=activity.events_24h,
        interactions=activity.interactions,
        last_event_ms=activity.last_event_ms,
    )


def _met(known: Known, catalog: Catalog) -> Iterator[TracedMet]:
    """Each interaction with its event, which what was met of the recent ones doesn't know."""
    vectors = [one.vector for one in known.met if one.vector is not None]
    marks = iter(fingerprints(np.stack(vectors)).tolist() if vectors else ())
    recent = iter(known.view.recent)
    for one in known.met:
        row = catalog.row(one.item_id)
        entry = catalog.entries[row] if row is not None else None
        yield TracedMet(
            item_id=one.item_id,
            event=event_mark(next(event.event_id for event in recent if _same(event, one))),
            action=one.action,
            at_ms=one.at_ms,
            category=one.category,
            price=one.price,
            title=entry.title if entry else None,
            vector=0 if one.vector is None else next(marks),
        )


def event_mark(event_id: str) -> int:
    """By which an event is known again; the ids themselves are long.

    >>> event_mark("e-1") == event_mark("e-2")
    False
    """
    return int.from_bytes(digest_of(event_id.encode())[:8], "little", signed=True)


def _same(event: Interaction, met: Met) -> bool:
    return (event.item_id, event.event_type, event.timestamp_ms) == (
        met.item_id,
        met.action,
        met.at_ms,
    )


def _logits(beliefs: Beliefs) -> bytes:
    """What the weights say of the context; they themselves would be forty times as much."""
    arms = beliefs.arms
    if arms.weights is None or arms.features is None:
        return b""
    return packed(arms.weights @ arms.features, "<f4")


def _places(taken: Taken, catalog: Catalog) -> Iterator[TracedPlace]:
    chosen = taken.chosen
    trending = _place_of(taken.trending[:WORTH_SAYING])
    popular = _place_of(taken.popular[:WORTH_SAYING].tolist())
    for rank, slot in enumerate(chosen.slots, start=1):
        row = chosen.row(slot)
        entry = catalog.entries[row]
        yield TracedPlace(
            item_id=catalog.ids[row],
            index=int(slot.index),
            propensity=float(slot.propensity),
            explored=bool(slot.explored),
            belief=int(slot.belief),
            shown=entry is not None,
            title=entry.title if entry else "",
            category=entry.category_id if entry else None,
            price=entry.price if entry else None,
            image_url=entry.image_url if entry else None,
            trending=trending.get(row, 0),
            popular=popular.get(row, 0),
            written=chosen.reasons.get(rank),
        )


def _place_of(rows: Sequence[int]) -> dict[int, int]:
    return {row: place for place, row in enumerate(rows, start=1)}


def features_of(shortlist: Shortlist) -> Floats | None:
    """Hand over what the ranker saw: once it is written down, the process need not hold it."""
    features, shortlist.evidence.features = shortlist.evidence.features, None
    return features
