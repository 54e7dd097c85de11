"""What is supposed changes what follows from it, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.beside import together
from domain.ranking_features import FEATURES
from domain.ranking_prior import prior_network
from serving.evidence.retelling import Floats, Recorded, Supposed, tell
from serving.evidence.what_if import HELD, Compared, Means, NoSuchEventError, compared
from tests.serving.evidence.answered import EAGER, SURE, Answered

TRIES = {"options": {"exploration_rate": 0.5}}


@pytest.fixture
def answered() -> Answered:
    return Answered()


class Asked:
    """A ranker that is the prior, and neighbours as they are now."""

    def __init__(self, answered: Answered, *, known: bool = True) -> None:
        self.rows: list[Floats] = []
        self._beside = answered.outside.neighbors.beside
        self._known = known

    async def score(self, rows: Floats) -> Floats:
        self.rows.append(rows)
        return prior_network().score(rows)

    async def beside(self, item_ids: Sequence[str]) -> Mapping[str, float] | None:
        if not self._known:
            return None
        return together([list(self._beside.get(one, {}).items()) for one in item_ids[:10]])

    @property
    def means(self) -> Means:
        return Means(score=self.score, beside=self.beside)


async def what_if(answered: Answered, **supposed: Any) -> Compared:
    return await compared(answered.recorded(), means=Asked(answered).means, **supposed)


async def test_nothing_supposed_changes_nothing(answered: Answered) -> None:
    await answered.ask("angry", EAGER)
    found = await what_if(answered)
    assert found.before == found.after
    assert all(one.rank_before == one.rank_after for one in found.moves)
    assert found.notes == (HELD,)


async def test_without_exploration_the_surest_stand_where_they_would(answered: Answered) -> None:
    await answered.ask("warm", TRIES, request_id="r1")
    await answered.ask("warm", SURE, request_id="r2")
    found = await what_if(answered, exploration=False)
    assert found.before != found.after
    assert found.after == tuple(one.item_id for one in answered.recorded("r2").answer.places)
    assert all(one.score_before == one.score_after for one in found.moves)


@pytest.fixture
def without_context(answered: Answered) -> None:
    """What rewards taught of situations is held, also where a mood is part of them."""
    known = answered.outside.posteriors.known
    known.update({name: replace(one, weights=None) for name, one in known.items()})


@pytest.mark.usefixtures("without_context")
async def test_another_mood_is_as_if_the_user_had_felt_so(answered: Answered) -> None:
    await answered.ask("warm", SURE, request_id="r1")
    await answered.ask("angry", SURE, request_id="r2")
    felt = {"valence": -0.8, "arousal": 0.5, "frustration": 0.9, "velocity": 9.0}
    found = await what_if(answered, emotion={**felt, "behavior": "deciding"})
    assert found.before != found.after
    assert found.after == tuple(one.item_id for one in answered.recorded("r2").answer.places)


@pytest.mark.usefixtures("without_context")
async def test_an_unknown_mood_has_no_rules(answered: Answered) -> None:
    await answered.ask("angry", SURE, request_id="r1")
    await answered.ask("warm", SURE, request_id="r2")
    found = await what_if(answered, emotion="unknown")
    assert found.after == tuple(one.item_id for one in answered.recorded("r2").answer.places)


async def test_a_mood_by_name_keeps_the_pace(answered: Answered) -> None:
    await answered.ask("angry", SURE)
    asked = Asked(answered)
    by_name = await compared(answered.recorded(), emotion="joy", means=asked.means)
    by_numbers = await compared(
        answered.recorded(),
        emotion={"valence": 0.76, "arousal": 0.48, "dominance": 0.35},
        means=asked.means,
    )
    still = {"velocity": 0.0, "behavior": "browsing"}
    other = await compared(
        answered.recorded(), emotion={"valence": 0.76, **still}, means=asked.means
    )
    assert by_name.after == by_numbers.after != other.after
    assert asked.rows == []


async def test_of_who_does_not_consent_no_mood_counts(answered: Answered) -> None:
    await answered.ask("without consent", SURE)
    found = await what_if(answered, emotion="anger")
    assert found.before == found.after


async def test_without_an_item_the_user_never_met_it(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    found = await what_if(answered, without_event="i8")
    assert "taken away: 2 of 6 recent events" in found.notes
    assert found.before != found.after
    (bought,) = (one for one in found.moves if one.item_id == "i8")
    assert bought.score_after < bought.score_before
    assert bought.rank_after == 0 or bought.rank_after > bought.rank_before
    scores = [(one.score_before, one.score_after) for one in found.moves]
    assert any(before == after for before, after in scores) or len(scores) > 20


async def test_one_event_is_named_by_its_id(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    found = await what_if(answered, without_event="e-i1")
    assert "taken away: 1 of 6 recent events" in found.notes


async def test_only_what_follows_from_the_event_is_asked_for_anew(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    asked = Asked(answered)
    await compared(answered.recorded(), without_event="i8", means=asked.means)
    (rows,) = asked.rows
    before, after = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    changed = {FEATURES[at] for at in np.flatnonzero((before != after).any(axis=0))}
    assert {"log_seen", "purchased", "beside_latest", "from_repeat"} < changed
    held = ("cosine_long_term", "trending", "log_popularity", "freshness", "recency", "hour_sin")
    assert not changed & set(held)


async def test_a_view_moves_less_than_a_purchase(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    by_view, by_purchase = [
        sum(abs(one.score_after - one.score_before) for one in found.moves)
        for found in (
            await what_if(answered, without_event="i30"),
            await what_if(answered, without_event="i8"),
        )
    ]
    assert by_view < by_purchase


async def test_neighbours_that_are_others_now_are_held(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    answered.outside.neighbors.beside["i8"] = {"i52": 0.9}
    asked = Asked(answered)
    found = await compared(answered.recorded(), without_event="i8", means=asked.means)
    assert any("met beside the user's items is held" in note for note in found.notes)
    rows = asked.rows[0]
    beside = rows[:, FEATURES.index("beside_latest")]
    assert np.array_equal(beside[: len(rows) // 2], beside[len(rows) // 2 :])
    away = await compared(
        answered.recorded(), without_event="i8", means=Asked(answered, known=False).means
    )
    assert away == found


async def test_what_was_dismissed_is_no_candidate(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    found = await what_if(answered, without_event="i3")
    assert any("what was dismissed was no candidate" in note for note in found.notes)
    assert "i3" not in found.after


async def test_nothing_left_would_be_a_cold_start(answered: Answered) -> None:
    view = answered.outside.online.users["taste only"]
    answered.outside.online.users["taste only"] = replace(view, recent=view.recent[:1])
    await answered.ask("taste only", SURE)
    found = await what_if(answered, without_event="i1")
    assert any("a new request would be a cold start" in note for note in found.notes)


async def test_where_no_model_was_asked_no_score_follows(answered: Answered) -> None:
    await answered.ask("warm", SURE, degrade=True)
    with pytest.raises(NoSuchEventError, match="i1"):
        await what_if(answered, without_event="i1")
    await answered.ask("without consent", SURE, request_id="r2")
    assert answered.recorded("r2").history.met == ()


async def test_an_event_that_is_not_there(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    with pytest.raises(NoSuchEventError, match="gone"):
        await what_if(answered, without_event="gone")


async def test_changed_vectors_are_told(answered: Answered) -> None:
    await answered.ask("warm", SURE)
    recorded = answered.recorded()
    other = Recorded(answer=recorded.answer, ranking=recorded.ranking, vectors={})
    found = await compared(other, exploration=False, means=Asked(answered).means)
    assert any("have changed since the answer" in note for note in found.notes)


async def test_all_at_once(answered: Answered) -> None:
    await answered.ask("angry", TRIES)
    found = await what_if(answered, without_event="i8", emotion="neutral", exploration=False)
    assert found.before != found.after
    assert sorted(one.rank_after for one in found.moves if one.rank_after) == list(range(1, 21))
    assert sorted(one.rank_before for one in found.moves if one.rank_before) == list(range(1, 21))


async def test_supposing_nothing_is_the_answer_itself(answered: Answered) -> None:
    await answered.ask("warm", EAGER)
    told, again = await tell(answered.recorded()), await tell(answered.recorded(), Supposed())
    assert told.chosen.slots == again.chosen.slots
