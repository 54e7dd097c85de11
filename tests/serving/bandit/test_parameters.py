from typing import Any

import grpc
import numpy as np
import pytest

from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from settings import Settings
from settings.model import StreamSettings
from tests.serving.bandit.calling import SEGMENT, calling, details_of, posterior, towards
from tests.serving.pretended import Outside


async def ask(outside: Outside, *item_ids: str, **fields: Any) -> list[pb.BanditParameters]:
    asked = pb.ParameterRequest(item_ids=item_ids, context_segment=SEGMENT, **fields)
    async with calling(outside) as bandit:
        return list((await bandit.GetParameters(asked)).parameters)


async def test_all_that_is_known_is_told() -> None:
    outside = Outside()
    outside.posteriors.known["sku:7"] = posterior(
        9.0,
        3.0,
        total_impressions=11,
        total_rewards=8,
        exploration_count=4,
        exploitation_count=7,
        weights=towards(0),
        variances=towards(1, size=0.5),
    )
    (told,) = await ask(outside, "sku:7", include_contextual=True)
    assert (told.item_id, told.context_segment) == ("sku:7", SEGMENT)
    assert (told.known, told.version) == (True, 7)
    assert told.thompson == pb.BanditParameters.Thompson(
        alpha=9.0, beta=3.0, prior_alpha=1.0, prior_beta=1.0
    )
    assert told.statistics == pb.BanditParameters.Statistics(
        total_impressions=11,
        total_rewards=8,
        last_updated_ms=5,
        exploration_count=4,
        exploitation_count=7,
    )
    assert list(told.contextual.feature_weights) == [3.0] + [0.0] * 63
    assert list(told.contextual.feature_variances) == [0.0, 0.5] + [0.0] * 62
    sure = told.confidence
    assert sure.uncertainty == pytest.approx(12**-0.5)
    assert sure.expected_value == pytest.approx(0.75)
    drawn = np.quantile(np.random.default_rng(1).beta(9, 3, 100_000), [0.05, 0.95])
    bounds = [sure.credible_interval_lower, sure.credible_interval_upper]
    assert bounds == pytest.approx(drawn.tolist(), abs=0.005)


async def test_weights_are_told_only_if_asked_for() -> None:
    outside = Outside()
    outside.posteriors.known["i"] = posterior(2.0, 1.0, weights=towards(0), variances=towards(0))
    (told,) = await ask(outside, "i")
    assert not told.HasField("contextual")


async def test_an_unknown_item_is_told_as_its_prior() -> None:
    streams = StreamSettings(bandit_prior_alpha=2.0, bandit_prior_beta=6.0)
    outside = Outside(settings=Settings(streams=streams))
    outside.posteriors.known["known"] = posterior(3.0, 1.0)
    new, known = await ask(outside, "new", "known", include_contextual=True)
    assert (new.known, new.version, known.known) == (False, 0, True)
    assert (new.thompson.alpha, new.thompson.beta, new.thompson.prior_beta) == (2.0, 6.0, 6.0)
    assert new.confidence.expected_value == pytest.approx(0.25)
    assert not new.HasField("contextual")


async def test_without_redis_nothing_is_made_up() -> None:
    outside = Outside()
    outside.posteriors.away = True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(outside, "i")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == (
        "the posteriors can't be read (error); try again in a moment"
    )
    assert details_of(refused.value)["RetryInfo"].retry_delay.seconds == 2


@pytest.mark.parametrize(
    ("item_ids", "segment", "field"),
    [([], SEGMENT, "item_ids"), ([""], SEGMENT, "item_ids[0]"), (["i"], "a:b", "context_segment")],
)
async def test_wrong_values_are_named(item_ids: list[str], segment: str, field: str) -> None:
    asked = pb.ParameterRequest(item_ids=item_ids, context_segment=segment)
    async with calling(Outside()) as bandit:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bandit.GetParameters(asked)
    (violation,) = details_of(refused.value)["BadRequest"].field_violations
    assert violation.field == field
