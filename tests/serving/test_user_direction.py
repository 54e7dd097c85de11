"""Where the source `collaborative` looks, and what becomes of it while the tower is away."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from domain.ranking_features import Activity
from domain.taste import Taste
from domain.user_tower import tower_input
from serving.metrics import Metrics
from serving.stages.context import Known
from serving.trace import Trace
from tests.clock import Clock
from tests.serving.pretended import (
    NOW_MS,
    Outside,
    PretendedTower,
    admitted,
    axis,
    count_of,
    filled,
    known_user,
    shop,
    user_direction,
)

SPACE = "a-space"


def in_space(space: str | None = SPACE) -> list[Any]:
    """The shop, its vectors of a space."""
    return [
        replace(one, catalog=replace(one.catalog, embedding_space=space))
        for one in shop()
        if one.catalog
    ]


def known(*, stamp: bytes = b"1", **fields: Any) -> Known:
    return Known(
        view=known_user(stamp=stamp, **fields),
        taste=Taste(mean=axis(0, 2)),
        activity=Activity(interactions=7, last_event_ms=NOW_MS),
    )


async def test_a_user_of_whom_both_are_known_is_asked_for() -> None:
    tower, trace, metrics = PretendedTower(), Trace(), Metrics()
    direction = user_direction(filled(in_space()), tower, space=SPACE, metrics=metrics)
    with trace.stage("candidates"):
        found = await direction.of(admitted(), known(), trace)
    assert found is not None
    assert found.tolist() == axis(1).tolist()
    (told,) = tower.asked
    activity = Activity(interactions=7, last_event_ms=NOW_MS)
    assert np.array_equal(told, tower_input(axis(0), axis(0, 2), activity, now_ms=NOW_MS))
    assert trace.steps[0].noted == {"direction": "user_tower:1"}
    assert trace.fallbacks == []


async def test_a_state_is_asked_for_once_and_a_new_one_anew() -> None:
    tower, metrics, clock = PretendedTower(), Metrics(), Clock()
    direction = user_direction(filled(in_space()), tower, space=SPACE, metrics=metrics, clock=clock)
    for stamp in (b"1", b"1", b"2", b"1"):
        await direction.of(admitted(), known(stamp=stamp), Trace())
    await direction.of(admitted(), known(stamp=b"1", user_id="u2"), Trace())
    assert tower.calls == 3
    assert count_of(metrics, "freshet_cache_total", cache="direction", outcome="hit") == 2
    clock.now = 901
    await direction.of(admitted(), known(stamp=b"1"), Trace())
    assert tower.calls == 4


async def test_without_the_tower_the_embedding_stands_and_nothing_is_remembered() -> None:
    tower, trace = PretendedTower(away=True), Trace()
    direction = user_direction(filled(in_space()), tower, space=SPACE)
    found = await direction.of(admitted(), known(), trace)
    assert found is not None
    assert found.tolist() == axis(0).tolist()
    assert trace.fallbacks == ["candidates:user_tower_unavailable"]
    tower.away = False
    again = await direction.of(admitted(), known(), Trace())
    assert again is not None
    assert again.tolist() == axis(1).tolist()


@pytest.mark.parametrize("total_s", [1.0, 100.0])
async def test_a_slow_tower_is_not_waited_for(total_s: float) -> None:
    """Neither for longer than its share of the time nor than the setting allows."""
    tower, trace = PretendedTower(delay_s=5), Trace()
    timeout_s = 0.05 if total_s > 10 else 10.0
    direction = user_direction(filled(in_space()), tower, space=SPACE, timeout_s=timeout_s)
    request = admitted(total_s=total_s)
    assert await direction.of(request, known(), trace) is not None
    assert trace.fallbacks == ["candidates:user_tower_unavailable"]
    assert request.deadline.elapsed_s() < 0.5


@pytest.mark.parametrize(
    ("catalogue", "space"), [(SPACE, ""), (None, SPACE), ("another", SPACE), (None, "")]
)
async def test_vectors_of_another_space_are_none_of_its_business(
    catalogue: str | None, space: str
) -> None:
    tower, trace = PretendedTower(), Trace()
    direction = user_direction(filled(in_space(catalogue)), tower, space=space)
    found = await direction.of(admitted(), known(), trace)
    assert found is not None
    assert found.tolist() == axis(0).tolist()
    assert (tower.calls, trace.fallbacks) == (0, [])


async def test_of_one_vector_alone_it_has_learned_nothing() -> None:
    tower = PretendedTower()
    direction = user_direction(filled(in_space()), tower, space=SPACE)
    without_taste = replace(known(), taste=Taste())
    found = await direction.of(admitted(), without_taste, Trace())
    assert found is not None
    assert found.tolist() == axis(0).tolist()
    assert await direction.of(admitted(), known(embedding=None), Trace()) is None
    assert tower.calls == 0


def test_the_space_is_that_of_most_vectors_and_follows_them() -> None:
    catalog = filled(in_space("old"))
    assert catalog.space == "old"
    changed = in_space("new")
    catalog.apply(changed[:4], now_ms=NOW_MS)
    assert catalog.space == "new"
    catalog.apply([replace(one, deleted=True, catalog=None) for one in changed[:4]], now_ms=NOW_MS)
    assert catalog.space == "old"
    catalog.apply([replace(one, vector=None) for one in in_space("old")], now_ms=NOW_MS)
    assert filled([replace(one, vector=None) for one in in_space("old")]).space is None


async def test_the_service_looks_where_the_tower_points() -> None:
    outside = Outside()
    space = outside.settings.serving.user_tower
    outside.online.users["u1"] = known_user()
    service = outside.service(in_space(space))
    answered, _ = await service.pipeline.personalize(admitted().request, request_id="r")
    assert outside.tower.calls == 1
    assert answered["metadata"]["fallbacks"] == []
    found = {one["item_id"]: one["source"] for one in answered["items"]}
    assert found["lamp-1"] == "collaborative"
