"""What an answer would have been if one thing had been otherwise, all else held as it was.

Chance is held: the same draws of the same beliefs, the same coins, the same order of candidates.
Candidates are held: nothing is searched for anew. What follows from a supposed thing alone changes.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from domain.candidates import SOURCES
from domain.emotion import PROTOTYPES
from domain.ranking_features import FEATURES, RankedItems, RankedUser, feature_matrix
from domain.supposed_mood import pace_of, state_of
from domain.taste import Taste, taste_of
from schemas.types import HistoryTrace
from serving.evidence.packing import unpacked
from serving.evidence.retelling import Floats, Recorded, Supposed, Told, tell
from serving.evidence.taking import event_mark
from serving.situation import mood_of
from serving.stages.admit import Admitted
from serving.stages.context import Known
from serving.stages.shortlist import Evidence, Shortlist

# What the ranker sees of recent interactions, but what is met beside them.
OF_TASTE = (
    *("cosine_recent", "cosine_last", "cosine_nearest", "price_affinity", "category_share"),
    *("log_seen", "purchased", "dismissed"),
)
BESIDE = FEATURES.index("beside_latest")
REPEAT = FEATURES.index("from_repeat")
# Shares of neighbours are kept in single precision, and roots of them.
AS_GOOD_AS_EQUAL = 1e-3

Score = Callable[[Floats], Awaitable[Floats]]
Beside = Callable[[Sequence[str]], Awaitable[Mapping[str, float] | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """An item in the list as it was and as it would have been; rank 0: not in it."""

    item_id: str
    rank_before: int
    rank_after: int
    score_before: float
    score_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Both lists, the moves of their items, and what the reader should know."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    moves: tuple[Move, ...]
    notes: tuple[str, ...]


class NoSuchEventError(Exception):
    """What is to be taken away isn't among the events of the answer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """What a removed event needs beyond the records: a ranker, and what is met beside items.

    `beside` answers None where that can't be told.
    """

    score: Score
    beside: Beside


async def compared(
    recorded: Recorded,
    *,
    without_event: str | None = None,
    emotion: Mapping[str, Any] | str | None = None,
    exploration: bool = True,
    means: Means,
) -> Compared:
    """Both lists; raises `NoSuchEventError` where there is nothing to be taken away."""
    supposed, notes = Supposed(), []
    told = await tell(recorded)
    if without_event is not None:
        supposed, said = await _without(told, without_event, means)
        notes += said
    if emotion is not None:
        supposed = replace(supposed, known=_then(supposed.known, _feeling(told, emotion)))
    if not exploration:
        supposed = replace(supposed, admitted=_sure)
    if told.changed:
        notes.append(_changed(told.changed))
    after = await tell(recorded, supposed)
    return _compared(recorded, told, after, (HELD, *notes))


HELD = (
    "held the same: the candidates and their order, what rewards taught, also of the situation, "
    "the draws of chance, the user's vectors, counts and visit"
)


def _then(
    first: Callable[[Known], Known], second: Callable[[Known], Known]
) -> Callable[[Known], Known]:
    return lambda known: second(first(known))


def _sure(admitted: Admitted) -> Admitted:
    options = admitted.options.model_copy(update={"exploration_rate": 0.0})
    return replace(admitted, options=options)


def _changed(item_ids: Sequence[str]) -> str:
    return (
        f"vectors of {len(item_ids)} items have changed since the answer, so both lists may differ "
        f"from it in variety: {', '.join(item_ids[:5])}"
    )


def _feeling(told: Told, emotion: Mapping[str, Any] | str) -> Callable[[Known], Known]:
    """The user in another mood; what isn't told of it is neutral, but for the pace."""
    if emotion == "unknown":
        return lambda known: replace(known, view=replace(known.view, emotion=b""))
    at_ms = told.chosen.admitted.at_ms
    velocity, behavior = pace_of(mood_of(told.chosen.known.view, at_ms))
    given: dict[str, Any] = (
        dict(zip(("valence", "arousal", "dominance"), PROTOTYPES[emotion], strict=True))  # type: ignore[index]
        if isinstance(emotion, str)
        else {name: value for name, value in emotion.items() if value is not None}
    )
    neutral = {"valence": 0.0, "arousal": 0.0, "dominance": 0.0, "frustration": 0.0}
    state = state_of(
        **{**neutral, "velocity": velocity, "behavior": behavior, **given}, at_ms=at_ms
    )
    stored = state.to_bytes()
    return lambda known: replace(known, view=replace(known.view, emotion=stored))


async def _without(told: Told, event: str, means: Means) -> tuple[Supposed, list[str]]:
    """The user without an event, and the ranking that follows."""
    left = left_of(told.recorded.history, event)
    known = told.chosen.known
    met = tuple(one for one, stays in zip(known.met, left, strict=True) if stays)
    made_ms = told.recorded.ranking.made_ms
    was, now = (taste_of(some, now_ms=made_ms) for some in (known.met, met))
    ranked, notes = await _ranked_again(told, was, now, means)
    notes.insert(0, f"taken away: {left.count(False)} of {len(left)} recent events")
    if event in was.dismissed or any(
        one.action == "dismiss" for one, stays in zip(known.met, left, strict=True) if not stays
    ):
        notes.append("what was dismissed was no candidate, and can't come back in this comparison")
    changed = replace(known, met=met, taste=now)
    if changed.is_cold and not known.is_cold:
        notes.append("nothing else is known of the user: a new request would be a cold start")
    return Supposed(known=lambda _: changed, shortlist=lambda _: ranked), notes


def left_of(history: HistoryTrace, event: str) -> list[bool]:
    """Which of the recent events stay: all but the one of this id, or else all but an item's."""
    mark = event_mark(event)
    by_id = [one.event != mark for one in history.met]
    left = by_id if not all(by_id) else [one.item_id != event for one in history.met]
    if all(left):
        raise NoSuchEventError(event)
    return left


async def _ranked_again(
    told: Told, was: Taste, now: Taste, means: Means
) -> tuple[Shortlist, list[str]]:
    """The ranking by another taste: scores move as far as what the ranker sees of it moves."""
    shortlist = told.chosen.shortlist
    seen = shortlist.evidence.features
    if seen is None:
        return _other_traits(shortlist, told, now), ["no model was asked, so no score follows"]
    features, notes = await _seen_now(told, seen, was, now, means)
    moved = np.flatnonzero((features != seen).any(axis=1))
    scores = shortlist.scores.copy()
    if len(moved):
        both = await means.score(np.concatenate([seen[moved], features[moved]]))
        by_taste = both[len(moved) :] - both[: len(moved)]
        scores[moved] = np.clip(scores[moved] + by_taste, 0.0, 1.0)
    ranked = replace(
        shortlist,
        scores=scores,
        price_affinity=features[:, FEATURES.index("price_affinity")],
        evidence=Evidence(features=features),
    )
    return _other_traits(ranked, told, now), notes


async def _seen_now(
    told: Told, seen: Floats, was: Taste, now: Taste, means: Means
) -> tuple[Floats, list[str]]:
    """What the ranker would see: what it saw, and what the tastes make different."""
    items = _items(told)
    before, after = (
        feature_matrix(RankedUser(taste=taste), items, now_ms=0) for taste in (was, now)
    )
    columns = [FEATURES.index(name) for name in OF_TASTE]
    features = seen.copy()
    features[:, columns] += after[:, columns] - before[:, columns]
    again = np.array([one in now.again for one in items.ids], np.bool_)
    features[:, REPEAT] *= again
    beside = await _beside(items.ids, seen[:, BESIDE], was, now, means)
    if beside is None:
        return features, ["what is met beside the user's items is held as it was: it has changed"]
    features[:, BESIDE] = beside
    return features, []


async def _beside(
    ids: Sequence[str], seen: Floats, was: Taste, now: Taste, means: Means
) -> Floats | None:
    """The feature of what is met beside, if its neighbours are still those of the answer."""
    if was.liked == now.liked:
        return seen
    before, after = await means.beside(was.liked), await means.beside(now.liked)
    if before is None or after is None:
        return None
    then = _roots(before, ids)
    if not np.allclose(then, seen, atol=AS_GOOD_AS_EQUAL):
        return None
    return np.asarray(seen + _roots(after, ids) - then, np.float32)


def _roots(chance: Mapping[str, float], ids: Sequence[str]) -> Floats:
    return np.sqrt(np.array([chance.get(one, 0.0) for one in ids], np.float32))


def _items(told: Told) -> RankedItems:
    """The candidates, as far as tastes have to do with them."""
    shortlist, catalog = told.chosen.shortlist, told.catalog
    count = len(shortlist.ids)
    none = np.zeros(count, np.float32)
    return RankedItems(
        ids=list(shortlist.ids),
        vectors=catalog.column("vectors")[shortlist.rows],
        categories=catalog.categories_of(shortlist.rows),
        prices=unpacked(told.recorded.ranking.prices, "<f8", count=count),
        popularity=np.zeros(count),
        trending=none,
        quality=none,
        freshness=none,
        beside=none,
        from_sources=np.zeros((count, len(SOURCES)), np.bool_),
    )


def _other_traits(shortlist: Shortlist, told: Told, taste: Taste) -> Shortlist:
    """What is new to the user, and what they engaged with, by another taste."""
    ids, liked = shortlist.ids, frozenset(taste.liked)
    categories = told.catalog.categories_of(shortlist.rows)
    of_taste = {
        "engaged_before": np.array([one in liked for one in ids], np.bool_),
        "new_category": np.array([one not in taste.category_share for one in categories], np.bool_),
    }
    return replace(
        shortlist,
        novel=np.array([one not in taste.seen for one in ids], np.bool_),
        traits={**shortlist.traits, **of_taste},
    )


def _compared(recorded: Recorded, was: Told, now: Told, notes: Sequence[str]) -> Compared:
    ids = recorded.ranking.ids
    before = tuple(ids[place.index] for place in recorded.answer.places)
    after = tuple(ids[slot.index] for slot in now.chosen.slots)
    return Compared(
        before=before, after=after, moves=tuple(_moves(was, now, before, after)), notes=tuple(notes)
    )


def _moves(was: Told, now: Told, before: Sequence[str], after: Sequence[str]) -> Iterator[Move]:
    """Of each item of either list: those of the new one in its order, then those that went."""
    at = {item_id: index for index, item_id in enumerate(was.recorded.ranking.ids)}
    for item_id in dict.fromkeys((*after, *before)):
        yield Move(
            item_id=item_id,
            rank_before=_rank(item_id, before),
            rank_after=_rank(item_id, after),
            score_before=float(was.chosen.shortlist.scores[at[item_id]]),
            score_after=float(now.chosen.shortlist.scores[at[item_id]]),
        )


def _rank(item_id: str, ids: Sequence[str]) -> int:
    return ids.index(item_id) + 1 if item_id in ids else 0
