from typing import Any

import grpc
import numpy as np
import pytest

from domain.policies import ContextualThompson
from serving.bandit.asked import POLICIES
from serving.beliefs import arms_of
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from settings import Settings
from settings.model import RedisSettings
from tests.serving.bandit.calling import (
    SEGMENT,
    calling,
    details_of,
    eventually,
    posterior,
    towards,
    under_way,
)
from tests.serving.pretended import Outside, count_of

EAST = [1.0] + [0.0] * 63


@pytest.fixture
def outside() -> Outside:
    made = Outside()
    made.posteriors.known = {"good": posterior(80.0, 20.0), "bad": posterior(2.0, 98.0)}
    return made


def request(*item_ids: str, **fields: Any) -> pb.SampleRequest:
    return pb.SampleRequest(
        item_ids=item_ids or ("good", "bad"), **{"context_segment": SEGMENT, **fields}
    )


async def test_each_item_gets_a_draw_and_how_unsure_it_is(outside: Outside) -> None:
    async with calling(outside) as bandit:
        answer = await bandit.Sample(request("good", "new", seed=1))
    good, new = answer.samples
    assert (good.item_id, good.version, new.item_id, new.version) == ("good", 7, "new", 0)
    assert 0.6 < good.sampled_value < 0.95
    assert [good.uncertainty, new.uncertainty] == pytest.approx([0.1, 0.5**0.5])
    assert [good.expected_value, new.expected_value] == pytest.approx([0.8, 0.5])
    assert not good.sampled_values
    assert (answer.policy, answer.seed) == (pb.POLICY_CONTEXTUAL_THOMPSON, 1)
    assert not answer.fallbacks
    assert outside.posteriors.calls == 1


async def test_many_draws_spread_as_the_posterior_does(outside: Outside) -> None:
    async with calling(outside) as bandit:
        answer = await bandit.Sample(
            request(*["good"] * 200, num_samples=100, seed=3, policy=pb.POLICY_THOMPSON)
        )
    values = np.array([one.sampled_values for one in answer.samples])
    assert values.shape == (200, 100)
    assert values[:, 0].tolist() == [one.sampled_value for one in answer.samples]
    # Beta(80, 20): mean 0.8, variance 0.16 / 101; 20,000 draws miss the mean by 0.0003.
    assert values.mean() == pytest.approx(0.8, abs=0.0012)
    assert values.std() == pytest.approx((0.16 / 101) ** 0.5, rel=0.02)


async def test_the_same_seed_draws_the_same(outside: Outside) -> None:
    async with calling(outside) as bandit:
        first = await bandit.Sample(request(num_samples=5))
        again = await bandit.Sample(request(num_samples=5, seed=first.seed))
        other = await bandit.Sample(request(num_samples=5))
    assert again == first
    assert other.seed != first.seed
    assert other.samples != first.samples


@pytest.mark.parametrize("policy", sorted(POLICIES))
async def test_each_policy_scores_as_the_domain_does(
    outside: Outside, policy: pb.Policy.ValueType
) -> None:
    asked = request(policy=policy, seed=11, num_samples=3, context_features=EAST)
    async with calling(outside) as bandit:
        answer = await bandit.Sample(asked)
    arms = arms_of([posterior(80.0, 20.0), posterior(2.0, 98.0)], np.array(EAST, np.float32))
    rng = np.random.default_rng(11)
    expected = POLICIES[policy].draws(arms, count=3, rng=rng)
    told = [list(one.sampled_values) for one in answer.samples]
    assert np.allclose(told, np.array(expected).T, atol=1e-6)
    assert answer.policy == policy


async def test_the_context_moves_what_is_drawn(outside: Outside) -> None:
    known = {"east": posterior(5e6, 5e6, weights=towards(0), variances=towards(0)), "no": None}
    outside.posteriors.known = {"east": known["east"] or posterior(1, 1)}
    async with calling(outside) as bandit:
        plain = await bandit.Sample(request("east", seed=1))
        east = await bandit.Sample(request("east", seed=1, context_features=EAST))
        west = await bandit.Sample(request("east", seed=1, context_features=[-one for one in EAST]))
    # 0.2 x (sigmoid(3) - 0.5)
    moved = ContextualThompson().reach * (1 / (1 + np.exp(-3.0)) - 0.5)
    at = plain.samples[0].sampled_value
    assert east.samples[0].sampled_value == pytest.approx(at + moved, abs=1e-5)
    assert west.samples[0].sampled_value == pytest.approx(at - moved, abs=1e-5)


async def test_thompson_sampling_over_the_wire_finds_the_best_item() -> None:
    """Regret within twice the bound of Lai and Robbins, as in the tests of the policies."""
    rates, rounds = {"a": 0.7, "b": 0.5, "c": 0.3}, 600
    chance, outside = np.random.default_rng(5), Outside()
    counts = {item: [1.0, 1.0] for item in rates}
    regret = 0.0
    async with calling(outside) as bandit:
        for number in range(rounds):
            outside.posteriors.known = {one: posterior(*counts[one]) for one in rates}
            asked = request(*rates, seed=number, policy=pb.POLICY_THOMPSON)
            answer = await bandit.Sample(asked)
            chosen = max(answer.samples, key=lambda one: one.sampled_value).item_id
            counts[chosen][chance.random() >= rates[chosen]] += 1
            regret += rates["a"] - rates[chosen]
    assert regret < 2 * _lai_robbins(rates, rounds)
    assert sum(counts["a"]) > 0.8 * rounds


def _lai_robbins(rates: dict[str, float], rounds: int) -> float:
    best = max(rates.values())
    kl = {
        one: one * np.log(one / best) + (1 - one) * np.log((1 - one) / (1 - best))
        for one in rates.values()
        if one < best
    }
    return float(sum((best - one) / kl[one] for one in kl) * np.log(rounds))


async def test_without_redis_the_priors_answer_and_say_so(outside: Outside) -> None:
    outside.posteriors.away = True
    async with calling(outside) as bandit:
        answers = [await bandit.Sample(request(seed=1)) for _ in range(5)]
    for answer in answers:
        assert list(answer.fallbacks) == ["posteriors:redis_unavailable"]
        assert [one.version for one in answer.samples] == [0, 0]
        assert [one.expected_value for one in answer.samples] == [0.5, 0.5]
    assert outside.posteriors.calls == 3, "the breaker is open from then on"
    fallbacks = count_of(
        outside.metrics, "freshet_fallbacks_total", fallback="posteriors:redis_unavailable"
    )
    assert fallbacks == 5


async def test_a_caller_in_a_hurry_gets_priors_in_time_and_opens_no_breaker(
    outside: Outside,
) -> None:
    outside.settings = Settings(redis=RedisSettings(timeout_ms=5_000))
    outside.posteriors.delay_s = 1.0
    async with calling(outside) as bandit:
        for _ in range(3):
            answer = await bandit.Sample(request(), timeout=0.6)
            assert list(answer.fallbacks) == ["posteriors:redis_unavailable"]
        assert not (await bandit.Sample(request())).fallbacks
    assert count_of(outside.metrics, "freshet_breaker_open", dependency="redis") == 0


async def test_a_caller_who_leaves_is_counted(outside: Outside) -> None:
    outside.settings = Settings(redis=RedisSettings(timeout_ms=60_000))
    outside.posteriors.delay_s = 30.0

    def left() -> float:
        labels = {"method": "Sample", "code": "CANCELLED"}
        return count_of(outside.metrics, "freshet_grpc_seconds_count", **labels)

    async with calling(outside) as bandit:
        call = bandit.Sample(request())
        await under_way(outside)
        call.cancel()
        await eventually(left)
    assert left() == 1


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"item_ids": []}, "item_ids", "item_ids has 0; 1 to 500 are allowed"),
        ({"item_ids": ["i"] * 501}, "item_ids", "item_ids has 501; 1 to 500 are allowed"),
        ({"item_ids": ["i", ""]}, "item_ids[1]", "item_ids[1] is empty; 1 to 256 bytes"),
        ({"item_ids": ["é" * 129]}, "item_ids[0]", "258 bytes; at most 256 are allowed"),
        ({"context_segment": ""}, "context_segment", "context_segment is empty"),
        ({"context_segment": "a:b"}, "context_segment", 'is "a:b"; no colon is allowed'),
        ({"context_features": [0.0] * 63}, "context_features", "63 features; 64 or none"),
        (
            {"context_features": [float("nan")] * 64},
            "context_features",
            "a feature is not in -1 to 1",
        ),
        ({"num_samples": -1}, "num_samples", "num_samples is -1; 0 to 100 are allowed"),
        ({"num_samples": 101}, "num_samples", "num_samples is 101; 0 to 100 are allowed"),
        (
            {"item_ids": ["i"] * 201, "num_samples": 100},
            "num_samples",
            "20100 draws; at most 20000 are allowed",
        ),
        ({"policy": 9}, "policy", "policy is 9; allowed are POLICY_UNSPECIFIED, POLICY_THOMPSON"),
    ],
)
async def test_wrong_values_are_named(
    outside: Outside, fields: dict[str, Any], field: str, says: str
) -> None:
    asked = pb.SampleRequest(**{"item_ids": ["i"], "context_segment": SEGMENT, **fields})
    async with calling(outside) as bandit:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bandit.Sample(asked)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in (refused.value.details() or "")
    (violation,) = details_of(refused.value)["BadRequest"].field_violations
    assert (violation.field, violation.description) == (field, refused.value.details())
    assert outside.posteriors.calls == 0
