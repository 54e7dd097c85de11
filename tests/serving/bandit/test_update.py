import asyncio
from array import array
from typing import Any

import grpc
import pytest

from domain.bandit import DEFAULT_RULES, Posterior, alpha_beta, learn
from schemas.types import BanditUpdate
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.service import wall_clock_ms
from tests.serving.bandit.calling import SEGMENT, calling, details_of
from tests.serving.pretended import Outside, count_of

FEATURES = [0.5] * 64


@pytest.fixture
def outside() -> Outside:
    return Outside()


def request(**fields: Any) -> pb.UpdateRequest:
    reward = {"item_id": "sku:7", "context_segment": SEGMENT, "reward": 0.25, "update_id": "u-1"}
    return pb.UpdateRequest(**{**reward, **fields})


async def send(outside: Outside, *requests: pb.UpdateRequest) -> list[pb.UpdateResponse]:
    async with calling(outside) as bandit:
        return [await bandit.UpdatePosterior(one) for one in requests]


async def refused(
    outside: Outside, asked: pb.UpdateRequest, **options: Any
) -> grpc.aio.AioRpcError:
    async with calling(outside) as bandit:
        with pytest.raises(grpc.aio.AioRpcError) as seen:
            await bandit.UpdatePosterior(asked, **options)
    return seen.value


async def test_a_reward_is_in_the_log_before_the_answer(outside: Outside) -> None:
    before = wall_clock_ms()
    shown_at_ms = before - 60_000
    (answer,) = await send(
        outside,
        request(
            context_features=FEATURES,
            shown_at_ms=shown_at_ms,
            previous_reward=0.125,
            explored=False,
            propensity=0.5,
            position=3,
            user_id="u1",
            request_id="r1",
            action="click",
        ),
    )
    ((topic, key, update),) = outside.event_log.taken
    assert (topic, key) == ("bandit-updates", f"sku:7:{SEGMENT}")
    assert update == BanditUpdate(
        update_id="u-1",
        item_id="sku:7",
        context_segment=SEGMENT,
        reward=0.25,
        context_features=tuple(FEATURES),
        timestamp_ms=shown_at_ms,
        user_id="u1",
        request_id="r1",
        position=3,
        propensity=0.5,
        action="click",
        previous_reward=0.125,
        explored=False,
        log_time_ms=answer.accepted_at_ms,
    )
    assert before <= answer.accepted_at_ms <= wall_clock_ms()
    assert answer.update_id == "u-1"


async def test_what_is_left_out_stays_open(outside: Outside) -> None:
    (answer,) = await send(outside, request())
    (update,) = outside.event_log.records()
    assert update.timestamp_ms == update.log_time_ms == answer.accepted_at_ms
    assert (update.previous_reward, update.explored, update.position) == (None, None, None)
    assert update.context_features == ()


async def test_a_reward_without_an_id_gets_one_of_its_own(outside: Outside) -> None:
    first, second = await send(outside, request(update_id=""), request(update_id=""))
    assert first.update_id != second.update_id
    assert [one.update_id for one in outside.event_log.records()] == [
        first.update_id,
        second.update_id,
    ]


async def test_what_is_written_twice_counts_once_in_the_posterior(outside: Outside) -> None:
    await send(outside, request(), request(), request(update_id="u-2", reward=1.0))
    posterior = Posterior()
    counted = [learn(posterior, one, rules=DEFAULT_RULES) for one in outside.event_log.records()]
    assert counted == [True, False, True]
    assert alpha_beta(posterior, DEFAULT_RULES) == (2.25, 1.75)


async def test_no_more_are_under_way_than_the_job_remembers(outside: Outside) -> None:
    """A batch that is written twice by a producer that saw no word is known, each of it."""
    outside.event_log.delay_s = 0.1
    batches: list[int] = []
    append = outside.event_log.append

    async def counted(*record: Any) -> None:
        under_way[record[1]] = under_way.get(record[1], 0) + 1
        batches.append(under_way[record[1]])
        await append(*record)
        under_way[record[1]] -= 1

    under_way: dict[str, int] = {}
    outside.event_log.append = counted  # type: ignore[assignment,method-assign]
    async with calling(outside) as bandit:
        rewards = [request(update_id=f"u-{number}") for number in range(40)]
        others = [request(update_id=f"o-{number}", item_id="other") for number in range(8)]
        await asyncio.gather(*map(bandit.UpdatePosterior, (*rewards, *others)))
    assert len(outside.event_log.taken) == 48
    assert max(batches) == 8
    twice = [one for one in outside.event_log.records() if one.item_id == "sku:7"][:8] * 2
    posterior = Posterior(recent_ids=array("Q"))
    assert sum(learn(posterior, one, rules=DEFAULT_RULES) for one in twice) == 8


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"item_id": ""}, "item_id", "item_id is empty; 1 to 256 bytes are allowed"),
        ({"item_id": "x" * 257}, "item_id", "257 bytes; at most 256 are allowed"),
        ({"context_segment": ""}, "context_segment", "context_segment is empty"),
        ({"context_segment": "a:b"}, "context_segment", "context_segment has a colon"),
        ({"reward": 1.5}, "reward", "reward is 1.5; 0 to 1 is allowed"),
        ({"reward": -0.5}, "reward", "reward is -0.5; 0 to 1 is allowed"),
        ({"reward": float("nan")}, "reward", "reward is nan; 0 to 1 is allowed"),
        ({"previous_reward": 2.0}, "previous_reward", "previous_reward is 2.0; 0 to 1"),
        ({"context_features": [1.0]}, "context_features", "1 features; 64 or none are allowed"),
        ({"context_features": [2.0] * 64}, "context_features", "a feature is not in -1 to 1"),
        ({"update_id": "x" * 257}, "update_id", "257 bytes; at most 256 are allowed"),
        ({"user_id": "x" * 257}, "user_id", "257 bytes"),
        ({"request_id": "x" * 257}, "request_id", "257 bytes"),
        ({"action": "x" * 257}, "action", "257 bytes"),
        ({"propensity": 0.0}, "propensity", "propensity is 0.0; above 0 to 1 is allowed"),
        ({"propensity": float("nan")}, "propensity", "propensity is nan"),
        ({"position": 0}, "position", "position is 0; the first is 1"),
        ({"shown_at_ms": 4_000_000_000_000}, "shown_at_ms", "ms ahead of the log; at most 300000"),
        (
            {"shown_at_ms": 1_790_000_000},
            "shown_at_ms",
            "shown_at_ms is 1790000000, more than 400 days ago; milliseconds since 1970",
        ),
    ],
)
async def test_wrong_values_are_named(
    outside: Outside, fields: dict[str, Any], field: str, says: str
) -> None:
    error = await refused(outside, request(**fields))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in (error.details() or "")
    (violation,) = details_of(error)["BadRequest"].field_violations
    assert violation.field == field
    assert not outside.event_log.taken


async def test_without_kafka_the_caller_is_asked_to_come_back(outside: Outside) -> None:
    outside.event_log.away = True
    error = await refused(outside, request())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == (
        "the event log did not take the reward (error); "
        "send it again with update_id 'u-1', and it counts once"
    )
    assert details_of(error)["RetryInfo"].retry_delay.seconds == 2


async def test_a_made_up_id_is_told_even_where_the_log_is_away(outside: Outside) -> None:
    outside.event_log.away = True
    details = (await refused(outside, request(update_id=""))).details() or ""
    made = details.split("'")[1]
    assert len(made) == 36
    outside.event_log.away = False
    (answer,) = await send(outside, request(update_id=made))
    assert answer.update_id == made


async def test_a_call_ends_with_its_deadline_and_opens_no_breaker(outside: Outside) -> None:
    outside.event_log.delay_s = 0.6
    async with calling(outside) as bandit:
        for number in range(4):
            with pytest.raises(grpc.aio.AioRpcError) as late:
                await bandit.UpdatePosterior(request(update_id=f"u-{number}"), timeout=0.3)
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert f"send it again with update_id 'u-{number}'" in (late.value.details() or "")
        await bandit.UpdatePosterior(request(update_id="patient"))
    # What was under way was written all the same, which the caller can't know.
    assert [one.update_id for one in outside.event_log.records()][-1] == "patient"
    assert count_of(outside.metrics, "freshet_breaker_open", dependency="kafka") == 0


async def test_who_gets_no_turn_in_time_is_asked_to_come_back(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.assembly.LOG_DEADLINE_S", 0.1)
    outside.event_log.delay_s = 30.0
    async with calling(outside) as bandit:
        rewards = [request(update_id=f"u-{number}") for number in range(40)]
        answers = await asyncio.gather(
            *map(bandit.UpdatePosterior, rewards), return_exceptions=True
        )
    codes = {one.code() for one in answers if isinstance(one, grpc.aio.AioRpcError)}
    assert codes == {grpc.StatusCode.UNAVAILABLE}
    assert len(answers) == 40
