"""Answers of every kind, made again from what was kept of them."""

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.evidence.retelling import replay, tell
from settings import Settings
from tests.serving.evidence.answered import (
    BOLD,
    EAGER,
    ITEMS,
    SURE,
    USERS,
    Answered,
    elsewhere,
    one_arm,
    wide_shop,
)
from tests.serving.pretended import NOW_MS, item


@pytest.fixture
def answered() -> Answered:
    return Answered()


async def same_bytes(answered: Answered, sent: bytes, request_id: str = "r1") -> None:
    again = await replay(answered.recorded(request_id))
    assert again.body == sent
    assert (again.same, again.differences) == (True, ())


@pytest.mark.parametrize("shape", ["personalize", "recommendations"])
@pytest.mark.parametrize("user_id", [*USERS, "nobody"])
@pytest.mark.parametrize("seed", range(3))
async def test_every_user_in_both_shapes(
    answered: Answered, user_id: str, shape: str, seed: int
) -> None:
    for number, request in enumerate((EAGER, {}, SURE)):
        if shape == "recommendations":
            request = {"options": {**request.get("options", {}), "include_explanation": True}}
        request_id = f"{seed}-{number}"
        sent = await answered.ask(user_id, request, request_id=request_id, shape=shape)
        await same_bytes(answered, sent, request_id)


# Making a service takes longer than all its answers.
SHARED, NUMBERS = Answered(), count()

requests = st.fixed_dictionaries(
    {
        "constraints": st.fixed_dictionaries(
            {"count": st.integers(1, 100)},
            optional={
                "categories": st.lists(st.sampled_from(["mugs", "lamps", "none"]), max_size=2),
                "exclude_items": st.lists(st.integers(0, 150).map("i{}".format), max_size=9),
            },
        ),
        "context": st.fixed_dictionaries(
            {},
            optional={
                "page_type": st.sampled_from(["home", "ä"]),
                "device": st.sampled_from(["mobile", "tv"]),
                "geo": st.just({"country": "US", "region": "CA"}),
                "timestamp": st.sampled_from(["2027-01-15T09:30:00+05:30", "2026-06-01T00:00:00Z"]),
            },
        ),
        "options": st.fixed_dictionaries(
            {
                "exploration_rate": st.floats(0, 1),
                "diversity_weight": st.floats(0, 1),
                "include_explanation": st.booleans(),
            }
        ),
    },
    optional={"session_id": st.sampled_from(["s1", "s2"])},
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(request=requests, user_id=st.sampled_from([*USERS, "nobody"]))
async def test_any_request(request: dict[str, Any], user_id: str) -> None:
    request_id = f"any-{next(NUMBERS)}"
    sent = await SHARED.ask(user_id, request, request_id=request_id)
    await same_bytes(SHARED, sent, request_id)


async def test_one_of_a_remembered_ranking(answered: Answered) -> None:
    await answered.ask("warm", EAGER)
    sent = await answered.ask("warm", EAGER, request_id="r2")
    assert orjson.loads(sent)["metadata"]["cache_hit"] is True
    assert answered.outside.traces.rankings.keys() == {"r1"}
    await same_bytes(answered, sent, "r2")


async def test_one_that_was_degraded(answered: Answered) -> None:
    sent = await answered.ask("warm", EAGER, degrade=True)
    assert "admit:rate_limited" in orjson.loads(sent)["metadata"]["fallbacks"]
    await same_bytes(answered, sent)


@pytest.mark.parametrize("server", ["online", "vectors", "ranker", "posteriors", "neighbors"])
async def test_one_that_was_made_without_a_server(answered: Answered, server: str) -> None:
    getattr(answered.outside, server).away = True
    sent = await answered.ask("warm", EAGER)
    assert orjson.loads(sent)["metadata"]["fallbacks"]
    await same_bytes(answered, sent)


async def test_one_of_a_user_as_remembered_while_the_store_is_away(answered: Answered) -> None:
    await answered.ask("on a phone", EAGER)
    answered.outside.online.away = True
    sent = await answered.ask("on a phone", {"constraints": {"count": 7}}, request_id="r2")
    assert orjson.loads(sent)["metadata"]["fallbacks"] == ["context:redis_unavailable"]
    await same_bytes(answered, sent, "r2")


@pytest.mark.parametrize("arm", [{"changes": BOLD}, {"posteriors": "own"}])
async def test_one_of_an_experiments_arm(answered: Answered, arm: dict[str, Any]) -> None:
    sent = await answered.ask("warm", EAGER, experiments=one_arm(**arm))
    assert orjson.loads(sent)["metadata"]["experiments"] == {"try": "bold"}
    recorded = answered.recorded()
    assert recorded.answer.segment.endswith("~try.bold") is ("posteriors" in arm)
    await same_bytes(answered, sent)


@pytest.mark.parametrize("policy", ["thompson", "upper_bound", "epsilon_greedy"])
async def test_one_of_another_policy(policy: str) -> None:
    answered = Answered()
    answered.outside.settings = Settings.model_validate(
        {"serving": {"policy": policy, "policy_weight": 0.9, "kept_feedback": 0}}
    )
    answered.service = answered.outside.service(wide_shop())
    sent = await answered.ask("warm", EAGER)
    assert answered.recorded().answer.policy == policy
    await same_bytes(answered, sent)


async def test_a_catalogue_that_has_changed_since_changes_nothing(answered: Answered) -> None:
    sent = await answered.ask("warm", EAGER)
    changed = [
        item(one.item_id, vector=one.vector, events=9_999, title="new", price=1e6)
        for one in wide_shop()
    ]
    answered.service.catalog.apply(changed, now_ms=NOW_MS)
    answered.service.catalog.set_trending([])
    await same_bytes(answered, sent)


async def test_what_is_not_as_it_was_is_named(answered: Answered) -> None:
    varied = {"options": {"diversity_weight": 0.9, "include_explanation": True}}
    await answered.ask("warm", varied)
    first = answered.recorded().ranking.ids[0]
    answered.service.catalog.apply([elsewhere(int(first[1:]))], now_ms=NOW_MS)
    told = await tell(answered.recorded())
    assert told.changed == (first,)
    answered.service.catalog.apply([elsewhere(number) for number in range(ITEMS)], now_ms=NOW_MS)
    again = await replay(answered.recorded())
    assert again.same is False
    assert f"the vector of {first} has changed since" in again.differences
    assert any("comes out as" in one for one in again.differences)


async def test_items_that_are_gone_are_told_as_changed(answered: Answered) -> None:
    await answered.ask("warm", EAGER)
    recorded = answered.recorded()
    one = recorded.ranking.ids[3]
    vectors = {name: vector for name, vector in recorded.vectors.items() if name != one}
    assert (await tell(replace(recorded, vectors=vectors))).changed == (one,)
    assert len((await tell(replace(recorded, vectors={}))).changed) > 100


async def test_other_code_that_shapes_the_same_places_is_told(answered: Answered) -> None:
    await answered.ask("warm", EAGER)
    recorded = answered.recorded()
    other = replace(recorded, answer=replace(recorded.answer, digest=bytes(16)))
    again = await replay(other)
    assert again.differences == (
        "the places are the same, but the body isn't: it was shaped by other code",
    )


async def test_other_places_and_another_segment_are_told(answered: Answered) -> None:
    await answered.ask("warm", EAGER)
    recorded = answered.recorded()
    places = recorded.answer.places
    was = replace(
        recorded.answer, places=(places[1], places[0]), segment="tv_de_night", digest=bytes(16)
    )
    again = await replay(replace(recorded, answer=was))
    assert again.differences == (
        f"the segment was tv_de_night, and comes out as {recorded.answer.segment}",
        f"place 1 had {places[1].item_id}, and comes out as {places[0].item_id}",
        f"place 2 had {places[0].item_id}, and comes out as {places[1].item_id}",
        "there were 2 places, and come out 20",
    )


async def test_scores_draws_and_features_are_those_of_the_answer(answered: Answered) -> None:
    sent = orjson.loads(await answered.ask("warm", EAGER))
    asked = answered.outside.ranker.asked[-1]
    chosen = (await tell(answered.recorded())).chosen
    assert [round(chosen.score(slot), 6) for slot in chosen.slots] == [
        one["score"] for one in sent["items"]
    ]
    places = answered.recorded().answer.places
    assert [slot.propensity for slot in chosen.slots] == [one.propensity for one in places]
    assert answered.impression is not None
    assert chosen.tried.features == answered.impression.context_features
    features = chosen.shortlist.evidence.features
    assert features is not None
    seen = {row.tobytes() for row in asked}
    assert len(features) == 100
    assert all(row.tobytes() in seen for row in np.ascontiguousarray(features))
