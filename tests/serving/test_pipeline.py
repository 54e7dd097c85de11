"""The whole way of a request, with servers that are away, slow, or there."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from domain.experiments import BUCKETS, Arm, Changes, Experiment, Experiments
from schemas.types import Exposure
from serving.errors import ApiError
from serving.load import LISTS_PER_RANKING
from serving.requests import PersonalizeRequest
from settings import Settings
from tests.serving.pretended import Outside, PretendedServer, count_of, interaction, known_user

REQUEST = PersonalizeRequest.model_validate({"user_id": "u1"})


@pytest.fixture
def outside() -> Outside:
    made = Outside()
    made.online.users["u1"] = known_user()
    return made


async def test_all_there(outside: Outside) -> None:
    body, impression = await outside.service().pipeline.personalize(REQUEST, request_id="r1")
    assert body["metadata"]["fallbacks"] == []
    assert list(body["metadata"]["stages_ms"]) == [
        *("admit", "context", "candidates", "rank", "explore", "rerank"),
    ]
    assert impression.request_id == body["request_id"] == "r1"
    for stage in ("admit", "context", "candidates", "rank", "explore", "rerank", "answer"):
        assert count_of(outside.metrics, "freshet_stage_seconds_count", stage=stage) == 1
    assert outside.online.calls == 1


async def test_one_request_too_many_is_answered_at_once_with_what_is_there(
    outside: Outside,
) -> None:
    outside.settings = Settings.model_validate({"serving": {"most_under_way": 2}})
    outside.ranker.delay_s = 0.05
    pipeline = outside.service().pipeline
    answers = await asyncio.gather(
        *(pipeline.personalize(REQUEST, request_id=f"r{number}") for number in range(3))
    )
    lacked = [body["metadata"]["fallbacks"][:1] for body, _ in answers]
    assert lacked == [[], [], ["admit:overloaded"]]
    assert [impression.exploration_rate for _, impression in answers] == [0.1, 0.1, 0.0]
    assert {shown.propensity for shown in answers[2][1].items} == {1.0}
    assert outside.ranker.calls == 2
    assert len(answers[2][0]["items"]) == 6
    assert count_of(outside.metrics, "freshet_requests_under_way") == 0
    body, _ = await pipeline.personalize(REQUEST, request_id="r4")
    assert body["metadata"]["fallbacks"] == []


async def test_remembered_lists_have_more_room_but_not_without_end(outside: Outside) -> None:
    outside.settings = Settings.model_validate({"serving": {"most_under_way": 1}})
    pipeline = outside.service().pipeline
    await pipeline.personalize(REQUEST, request_id="r0")
    outside.online.delay_s = 0.02
    answers = await asyncio.gather(
        *(
            pipeline.personalize(REQUEST, request_id=f"r{number}")
            for number in range(LISTS_PER_RANKING + 1)
        )
    )
    lacked = [body["metadata"]["fallbacks"][:1] for body, _ in answers]
    assert lacked == [[]] * LISTS_PER_RANKING + [["admit:overloaded"]]


async def test_a_second_request_of_the_same_state_asks_neither_milvus_nor_triton(
    outside: Outside,
) -> None:
    pipeline = outside.service().pipeline
    first, _ = await pipeline.personalize(REQUEST, request_id="r1")
    second, impression = await pipeline.personalize(REQUEST, request_id="r2")
    assert (outside.vectors.calls, outside.ranker.calls) == (1, 1)
    assert [body["metadata"]["cache_hit"] for body in (first, second)] == [False, True]
    assert impression.cache_hit
    assert len(second["items"]) == 6


async def test_after_an_event_of_the_user_nothing_older_is_answered(outside: Outside) -> None:
    pipeline = outside.service().pipeline
    await pipeline.personalize(REQUEST, request_id="r1")
    outside.online.users["u1"] = known_user(
        version=8, stamp=b"8", recent=(interaction("lamp-0", "purchase"),)
    )
    body, _ = await pipeline.personalize(REQUEST, request_id="r2")
    assert body["metadata"]["cache_hit"] is False
    assert body["metadata"]["versions"]["user"] == 8


async def test_what_was_made_with_something_lacking_is_not_kept(outside: Outside) -> None:
    outside.ranker.away = True
    pipeline = outside.service().pipeline
    await pipeline.personalize(REQUEST, request_id="r1")
    outside.ranker.away = False
    body, _ = await pipeline.personalize(REQUEST, request_id="r2")
    assert (body["metadata"]["cache_hit"], body["metadata"]["fallbacks"]) == (False, [])


@pytest.mark.parametrize(
    ("server", "fallback"),
    [
        ("online", "context:redis_unavailable"),
        ("vectors", "candidates:milvus_unavailable"),
        ("ranker", "rank:triton_unavailable"),
    ],
)
@pytest.mark.parametrize("how", ["away", "slow"])
async def test_one_away(outside: Outside, server: str, fallback: str, how: str) -> None:
    one: PretendedServer = getattr(outside, server)
    one.away, one.delay_s = how == "away", 10.0 if how == "slow" else 0.0
    pipeline = outside.service().pipeline
    took = []
    for number in range(6):
        started = time.perf_counter()
        body, impression = await pipeline.personalize(REQUEST, request_id=f"r{number}")
        took.append(time.perf_counter() - started)
        assert len(body["items"]) == 6
        assert body["metadata"]["fallbacks"] == [fallback]
        assert impression.fallbacks == (fallback,)
    assert count_of(outside.metrics, "freshet_fallbacks_total", fallback=fallback) == 6
    assert max(took) < 0.5
    # Once the breaker is open nobody waits; two searches a request ran beside each other before.
    assert one.calls <= 4
    assert min(took[3:]) < 0.05


async def test_everything_away_at_once(outside: Outside) -> None:
    service = outside.service()
    for one in (outside.online, outside.vectors, outside.ranker):
        one.away = True
    body, _ = await service.pipeline.personalize(REQUEST, request_id="r1")
    assert len(body["items"]) == 6
    assert body["metadata"]["cold_start"] is True
    assert body["metadata"]["fallbacks"] == ["context:redis_unavailable"]
    assert count_of(outside.metrics, "freshet_cold_starts_total") == 1


async def test_a_slow_start_leaves_less_time_to_the_rest(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = outside.service().pipeline
    object.__setattr__(pipeline, "deadline_s", 0.05)
    for one in (outside.online, outside.vectors, outside.ranker):
        one.delay_s = 0.04
    started = time.perf_counter()
    body, _ = await pipeline.personalize(REQUEST, request_id="r1")
    assert time.perf_counter() - started < 0.1
    assert body["metadata"]["fallbacks"]


async def test_an_answer_after_its_deadline_is_counted(outside: Outside) -> None:
    pipeline = outside.service().pipeline
    object.__setattr__(pipeline, "deadline_s", 1e-6)
    body, _ = await pipeline.personalize(REQUEST, request_id="r1")
    assert body["items"]
    assert count_of(outside.metrics, "freshet_late_answers_total") == 1


async def test_without_any_item_nothing_can_be_answered(outside: Outside) -> None:
    pipeline = outside.service(items=[]).pipeline
    with pytest.raises(ApiError, match="knows no items yet") as refused:
        await pipeline.personalize(REQUEST, request_id="r1")
    assert refused.value.status_code == 503


async def test_the_same_request_id_gives_the_same_list(outside: Outside) -> None:
    pipeline = outside.service().pipeline
    half = PersonalizeRequest.model_validate(
        {"user_id": "u1", "options": {"exploration_rate": 0.5}}
    )
    lists = [
        [one["item_id"] for one in (await pipeline.personalize(half, request_id=name))[0]["items"]]
        for name in ("a", "a", "b", "c", "d")
    ]
    assert lists[0] == lists[1]
    assert len({tuple(one) for one in lists}) > 1


def experiment(**arm: Any) -> Experiments:
    """Everybody is in its one arm, beside a control that nobody is in."""
    arms = (Arm(name="bold", weight=1.0, **arm), Arm(name="control", weight=1e-12))
    return Experiments(
        (
            Experiment(
                experiment_id="try",
                salt="s",
                layer="page",
                first_bucket=0,
                buckets=BUCKETS,
                arms=arms,
                start_ms=0,
                end_ms=10**15,
            ),
        )
    )


async def test_an_arm_has_the_last_word_and_is_logged(outside: Outside) -> None:
    service = outside.service()
    changes = Changes(exploration_rate=1.0, diversity_weight=0.0, policy="thompson")
    pipeline = replace(service.pipeline, experiments=lambda: experiment(changes=changes))
    _, impression = await pipeline.personalize(REQUEST, request_id="r1")
    assert impression.experiments == (Exposure(experiment_id="try", arm="bold"),)
    assert impression.exploration_rate == 1.0
    assert [one.propensity for one in impression.items] == pytest.approx(
        [1 / left for left in range(6, 0, -1)]
    )


async def test_an_arm_with_own_posteriors_learns_in_a_segment_of_its_own(
    outside: Outside,
) -> None:
    service = outside.service()
    pipeline = replace(service.pipeline, experiments=lambda: experiment(posteriors="own"))
    _, impression = await pipeline.personalize(REQUEST, request_id="r1")
    assert impression.context_segment.endswith("~try.bold")
    assert {segment for _, segment in outside.posteriors.asked} == {impression.context_segment}
