"""What is answered without something: a test for each row of the table in docs/degradation.md."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
import pytest

from serving.app import create_app
from serving.breaker import FAILURES_TO_OPEN
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.service import Service
from serving.stages.rank import PRIOR
from settings import Settings
from tests.serving.bandit.calling import SEGMENT, calling
from tests.serving.pretended import Outside, count_of, filled, item, known_user, posterior, shop

# Which test shows which fallback; the table is held against it.
ROWS: dict[str, str] = {}
Test = TypeVar("Test", bound=Callable[..., Any])

LIST = {"user_id": "u1", "constraints": {"count": 5}, "options": {"exploration_rate": 0}}
DEED = {"item_id": "mug-0", "action": "click"}
FEEDBACK = {"user_id": "u1", "feedback": [DEED]}
INTERACTION = {"user_id": "u1", "item_id": "mug-0", "action": "click"}
NEGATIVE = {"user_id": "u1", "item_id": "mug-0", "feedback_type": "hide"}
SHAPES: dict[str, dict[str, Any]] = {
    "/v1/feedback": FEEDBACK,
    "/interactions": INTERACTION,
    "/v1/feedback/negative": NEGATIVE,
}


def row(name: str) -> Callable[[Test], Test]:
    """Marks the test that shows a fallback."""

    def marked(test: Test) -> Test:
        ROWS[name] = test.__name__
        return test

    return marked


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """Servers that answer, with a user who likes mugs, and room to keep feedback."""
    made = Outside(settings=Settings(data_dir=tmp_path))
    made.online.users["u1"] = known_user()
    made.neighbors.beside = {"mug-0": {"lamp-2": 0.5}}
    return made


@asynccontextmanager
async def serving(outside: Outside) -> AsyncIterator[tuple[httpx.AsyncClient, Service]]:
    app = create_app(outside.settings)
    outside.metrics = app.state.metrics
    service = app.state.service = outside.service()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client, service


def counted(outside: Outside, name: str) -> float:
    return count_of(outside.metrics, "freshet_fallbacks_total", fallback=name)


async def listed(outside: Outside, *names: str, path: str = "/v1/personalize") -> dict[str, Any]:
    """A list that was made without something, and says so in its answer and its metric."""
    async with serving(outside) as (client, _):
        return await listed_by(client, outside, *names, path=path)


async def listed_by(
    client: httpx.AsyncClient, outside: Outside, *names: str, path: str = "/v1/personalize"
) -> dict[str, Any]:
    body = LIST if path == "/v1/personalize" else {"user_id": "u1", "num_items": 5}
    before = {name: counted(outside, name) for name in names}
    answer = await client.post(path, json=body)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    assert set(told["metadata"].get("fallbacks", names)) == set(names)
    assert {name: counted(outside, name) - before[name] for name in names} == dict.fromkeys(
        names, 1
    )
    return told


def ids_of(told: dict[str, Any]) -> list[str]:
    return [one["item_id"] for one in told.get("items", told.get("recommendations", []))]


# Document 002, row 1: if ranking fails, use candidate scores directly.


@row("rank:triton_unavailable")
@pytest.mark.parametrize("path", ["/v1/personalize", "/v1/recommendations"])
async def test_without_the_ranker_what_speaks_for_candidates_ranks_them(
    outside: Outside, path: str
) -> None:
    outside.ranker.away = True
    told = await listed(outside, "rank:triton_unavailable", path=path)
    assert len(ids_of(told)) == 5
    assert told["metadata"]["model_version"] == PRIOR
    # What is near the user's vector comes first.
    assert ids_of(told)[0].startswith("mug")


# Row 2: if the vector index fails, use what was computed before.


@row("candidates:milvus_unavailable")
@pytest.mark.parametrize("path", ["/v1/personalize", "/v1/recommendations"])
async def test_without_vectors_the_nearest_come_from_memory(outside: Outside, path: str) -> None:
    async with serving(outside) as (client, _):
        whole = await listed_by(client, outside, path=path)
    outside.vectors.away = True
    told = await listed(outside, "candidates:milvus_unavailable", path=path)
    # Document 001's requests always leave something to chance.
    same = set(ids_of(told)) & set(ids_of(whole))
    assert len(same) == 5 if path == "/v1/personalize" else len(same) >= 3


@row("candidates:memory")
async def test_a_vector_store_that_finds_nothing_is_not_believed(outside: Outside) -> None:
    async with serving(outside) as (client, _):
        whole = await listed_by(client, outside)
    outside.vectors.items = []
    told = await listed(outside, "candidates:memory")
    assert ids_of(told) == ids_of(whole)


async def test_a_vector_store_that_finds_nothing_is_not_back_yet(outside: Outside) -> None:
    outside.vectors.away = True
    async with serving(outside) as (client, service):
        for number in range(FAILURES_TO_OPEN):
            await client.post(
                "/v1/similar", json={"item_id": f"mug-{number}", "similarity_type": "content"}
            )
        breaker, whole = service.breakers.milvus, outside.vectors.items
        assert breaker.is_open
        outside.vectors.away, outside.vectors.items = False, []
        await breaker.try_close()
        assert breaker.is_open
        outside.vectors.items = whole
        await breaker.try_close()
        assert not breaker.is_open


async def test_without_vectors_and_ranker_a_ranking_made_before_is_used(outside: Outside) -> None:
    async with serving(outside) as (client, _):
        whole = await listed_by(client, outside)
        outside.vectors.away = outside.ranker.away = True
        again = await listed_by(client, outside)
    assert (whole["metadata"]["cache_hit"], again["metadata"]["cache_hit"]) == (False, True)
    assert ids_of(again) == ids_of(whole)


@row("candidates:redis_unavailable")
async def test_without_neighbours_the_other_sources_fill_the_list(outside: Outside) -> None:
    outside.neighbors.away = True
    assert len(ids_of(await listed(outside, "candidates:redis_unavailable"))) == 5


# Row 3: if features are unavailable, use default features.


@row("context:default_features")
async def test_features_that_cannot_be_read_have_their_defaults(outside: Outside) -> None:
    outside.online.users["u1"] = known_user(windows=b"\xff\x00")
    told = await listed(outside, "context:default_features")
    assert ids_of(told)[0].startswith("mug")
    assert told["metadata"]["cold_start"] is False


@row("explore:redis_unavailable")
async def test_without_posteriors_everything_is_believed_by_the_prior(outside: Outside) -> None:
    outside.posteriors.away = True
    assert len(ids_of(await listed(outside, "explore:redis_unavailable"))) == 5


# Row 4, and Redis: what is in the process, then popular items.


@row("context:redis_unavailable")
async def test_without_redis_users_are_as_remembered_and_others_get_popular_items(
    outside: Outside,
) -> None:
    async with serving(outside) as (client, _):
        whole = await listed_by(client, outside)
        outside.online.away = True
        known = await listed_by(client, outside, "context:redis_unavailable")
    stranger = await listed(outside, "context:redis_unavailable")
    assert ids_of(known) == ids_of(whole)
    assert (known["metadata"]["cold_start"], stranger["metadata"]["cold_start"]) == (False, True)
    assert ids_of(stranger)[0] == filled().ids[int(filled().popular[0])]


async def test_with_every_server_away_popular_items_are_answered(outside: Outside) -> None:
    for one in (outside.online, outside.vectors, outside.ranker, outside.neighbors):
        one.away = True
    outside.posteriors.away = outside.memory.away = outside.limits.away = True
    outside.event_log.away = True
    told = await listed(outside, "context:redis_unavailable", "explore:redis_unavailable")
    assert len(ids_of(told)) == 5
    assert told["metadata"]["cold_start"] is True


@row("limits:redis_unavailable")
async def test_without_redis_each_process_holds_the_limits_by_itself(outside: Outside) -> None:
    outside.settings = outside.settings.model_copy(
        update={"limits": outside.settings.limits.model_copy(update={"open_tier": "free"})}
    )
    outside.limits.away = True
    async with serving(outside) as (client, _):
        statuses = [
            (await client.post("/v1/personalize", json=LIST)).status_code for _ in range(12)
        ]
    assert statuses[:10] == [200] * 10
    assert 429 in statuses
    assert counted(outside, "limits:redis_unavailable") == len(statuses)


@row("admit:rate_limited")
async def test_beyond_a_limit_a_list_may_be_of_what_is_in_the_process(outside: Outside) -> None:
    outside.settings = Settings.model_validate(
        {
            "data_dir": outside.settings.data_dir,
            "limits": {"open_tier": "free", "free": {"personalize": 1}},
            "serving": {"on_limit": "degrade"},
        }
    )
    async with serving(outside) as (client, _):
        await client.post("/v1/personalize", json=LIST)
        calls = outside.ranker.calls
        answer = await client.post("/v1/personalize", json=LIST)
    assert answer.status_code == 200
    assert "admit:rate_limited" in answer.json()["metadata"]["fallbacks"]
    assert counted(outside, "admit:rate_limited") == 1
    assert outside.ranker.calls == calls


@row("admit:overloaded")
async def test_one_list_too_many_at_a_time_is_of_what_is_in_the_process(outside: Outside) -> None:
    outside.settings = Settings.model_validate(
        {"data_dir": outside.settings.data_dir, "serving": {"most_under_way": 1}}
    )
    outside.online.delay_s = 0.05
    async with serving(outside) as (client, _):
        both = await asyncio.gather(*(client.post("/v1/personalize", json=LIST) for _ in "12"))
    told = [one.json()["metadata"]["fallbacks"] for one in both]
    assert [one.status_code for one in both] == [200, 200]
    assert sum("admit:overloaded" in fallbacks for fallbacks in told) == 1
    assert counted(outside, "admit:overloaded") == 1


# What is like an item.


async def alike(outside: Outside, *names: str, **asked: Any) -> list[dict[str, Any]]:
    async with serving(outside) as (client, _):
        answer = await client.post(
            "/v1/similar", json={"item_id": "mug-0", "similarity_type": "hybrid", **asked}
        )
    assert answer.status_code == 200
    told = answer.json()
    assert set(told["metadata"]["fallbacks"]) == set(names)
    assert [counted(outside, name) for name in names] == [1] * len(names)
    found: list[dict[str, Any]] = told["similar_items"]
    return found


@row("similar:milvus_unavailable")
async def test_without_vectors_what_is_alike_comes_from_memory(outside: Outside) -> None:
    whole = await alike(outside)
    outside.vectors.away = True
    assert await alike(outside, "similar:milvus_unavailable") == whole


@row("similar:memory")
async def test_nor_is_it_where_something_is_alike(outside: Outside) -> None:
    whole = await alike(outside)
    outside.vectors.items = []
    assert await alike(outside, "similar:memory") == whole


@row("similar:redis_unavailable")
async def test_without_neighbours_what_is_alike_in_itself_is_left(outside: Outside) -> None:
    outside.neighbors.away = True
    found = await alike(outside, "similar:redis_unavailable")
    assert {one["similarity_type"] for one in found} == {"content"}


@row("similar:content")
async def test_where_nothing_is_met_together_content_takes_its_place(outside: Outside) -> None:
    found = await alike(
        outside, "similar:content", item_id="mug-1", similarity_type="collaborative"
    )
    assert found[0]["item_id"].startswith("mug")


@row("user:redis_unavailable")
async def test_without_the_user_what_is_alike_has_its_plain_order(outside: Outside) -> None:
    plain = await alike(outside)
    outside.online.away = True
    assert await alike(outside, "user:redis_unavailable", user_id="u1") == plain


async def alike_of(outside: Outside, item_id: str, *names: str) -> list[dict[str, Any]]:
    """Over a shop with two items of which nothing is known that could be like anything."""
    lonely = [
        *shop(),
        item("mug-x", category_id="mugs"),
        item("alone", category_id="nothing else"),
    ]
    make = outside.service
    outside.service = lambda *_: make(lonely)  # type: ignore[method-assign]
    return await alike(outside, *names, item_id=item_id, similarity_type="content")


@row("similar:popular_of_category")
async def test_where_nothing_is_alike_the_popular_of_its_category_come(outside: Outside) -> None:
    found = await alike_of(outside, "mug-x", "similar:popular_of_category")
    assert [one["item_id"] for one in found] == ["mug-0", "mug-1", "mug-2"]


@row("similar:popular")
async def test_where_its_category_has_no_other_the_popular_come(outside: Outside) -> None:
    found = await alike_of(outside, "alone", "similar:popular")
    assert found[0]["item_id"] == "mug-0"


# Kafka: what was acknowledged is kept, and delivered later.


@row("feedback:kafka_unavailable")
@pytest.mark.parametrize("path", SHAPES)
async def test_without_kafka_feedback_is_kept_and_delivered_later(
    outside: Outside, path: str
) -> None:
    outside.event_log.away = True
    async with serving(outside) as (client, service):
        answer = await client.post(path, json=SHAPES[path])
        assert answer.status_code == 202
        assert counted(outside, "feedback:kafka_unavailable") == 1
        assert service.kept is not None
        assert await service.kept.waiting() == 1
        outside.event_log.away = False
        await service.kept.deliver()
        assert await service.kept.waiting() == 0
    assert [one.item_id for one in outside.event_log.records()] == ["mug-0"]


@pytest.mark.parametrize("path", SHAPES)
async def test_a_kafka_that_hangs_holds_feedback_up_no_longer_than_a_list(
    outside: Outside, path: str
) -> None:
    outside.event_log.delay_s = 10
    async with serving(outside) as (client, service):
        async with asyncio.timeout(outside.settings.serving.deadline_ms / 1000 + 0.4):
            answer = await client.post(path, json=SHAPES[path])
        assert answer.status_code == 202
        assert service.kept is not None
        assert await service.kept.waiting() == 1


@pytest.mark.parametrize("path", SHAPES)
async def test_what_can_neither_be_logged_nor_kept_is_not_acknowledged(
    outside: Outside, path: str
) -> None:
    outside.settings = Settings.model_validate(
        {"data_dir": outside.settings.data_dir, "serving": {"kept_feedback": 1}}
    )
    outside.event_log.away = True
    async with serving(outside) as (client, _):
        first = await client.post(path, json=SHAPES[path])
        refused = await client.post(path, json={**SHAPES[path], "user_id": "u2"})
    assert (first.status_code, refused.status_code) == (202, 503)
    assert refused.headers["Retry-After"] == "2"
    assert refused.json()["error"]["code"] == "unavailable"


@row("feedback:redis_unavailable")
@pytest.mark.parametrize("path", SHAPES)
async def test_without_redis_feedback_is_taken_and_known_again_by_its_id(
    outside: Outside, path: str
) -> None:
    outside.memory.away = True
    headers = {"Idempotency-Key": "k1"}
    async with serving(outside) as (client, _):
        answers = [await client.post(path, json=SHAPES[path], headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    assert counted(outside, "feedback:redis_unavailable") >= 2
    first, second = (one.event_id for one in outside.event_log.records())
    assert first == second


# Calls over gRPC.


@row("explain:redis_unavailable")
async def test_without_what_was_kept_the_present_explains(outside: Outside) -> None:
    outside.traces.away = True
    async with serving(outside) as (client, _):
        answer = await client.post("/v1/explain", json={"user_id": "u1", "item_id": "mug-1"})
    assert (answer.status_code, answer.json()["basis"]) == (200, "present_state")
    assert counted(outside, "explain:redis_unavailable") == 1


@row("posteriors:redis_unavailable")
async def test_without_posteriors_draws_are_the_priors(outside: Outside) -> None:
    outside.posteriors.away = True
    async with calling(outside) as bandit:
        answer = await bandit.Sample(
            pb.SampleRequest(item_ids=["a"], context_segment=SEGMENT, seed=1)
        )
    assert list(answer.fallbacks) == ["posteriors:redis_unavailable"]
    assert answer.samples[0].version == 0
    assert counted(outside, "posteriors:redis_unavailable") == 1


async def test_parameters_that_come_late_are_asked_for_again(outside: Outside) -> None:
    outside.posteriors.learned["a", SEGMENT] = posterior(3.0, 1.0)
    outside.posteriors.late = 1
    asked = pb.ParameterRequest(item_ids=["a"], context_segment=SEGMENT)
    async with calling(outside) as bandit:
        answer = await bandit.GetParameters(asked)
    assert answer.parameters[0].known
    assert outside.posteriors.calls == 2


async def test_parameters_and_rewards_have_no_substitute_and_say_when_to_come_back(
    outside: Outside,
) -> None:
    outside.posteriors.away = outside.event_log.away = True
    asked = pb.ParameterRequest(item_ids=["a"], context_segment=SEGMENT)
    reward = pb.UpdateRequest(item_id="a", context_segment=SEGMENT, reward=1.0, update_id="r1")
    async with calling(outside) as bandit:
        for call in (lambda: bandit.GetParameters(asked), lambda: bandit.UpdatePosterior(reward)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not outside.event_log.records()


# What has no substitute over HTTP.


async def test_without_redis_what_is_known_of_a_user_cannot_be_told(outside: Outside) -> None:
    outside.settings = Settings.model_validate({"serving": {"admin_token": "secret"}})
    outside.lookup.away = True
    async with serving(outside) as (client, _):
        answer = await client.get("/v1/debug/users/u1", headers={"Authorization": "Bearer secret"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


# And back.


async def test_when_all_are_back_nothing_is_lacking(outside: Outside) -> None:
    async with serving(outside) as (client, service):
        outside.online.away = outside.posteriors.away = True
        for _ in range(FAILURES_TO_OPEN):
            await client.post("/v1/personalize", json=LIST)
        assert service.breakers.redis.is_open
        outside.online.away = outside.posteriors.away = False
        for breaker in service.breakers.all():
            await breaker.try_close()
        await listed_by(client, outside)


async def test_a_probe_that_fails_keeps_the_breaker_open(outside: Outside) -> None:
    async with serving(outside) as (client, service):
        outside.event_log.away = True
        for number in range(FAILURES_TO_OPEN):
            await client.post("/v1/feedback", json={**FEEDBACK, "user_id": f"u{number}"})
        await service.breakers.kafka.try_close()
        assert service.breakers.kafka.is_open
