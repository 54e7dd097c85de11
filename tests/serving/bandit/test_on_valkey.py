"""The service on posteriors in a real store."""

from collections.abc import Iterator
from typing import Any, cast

import grpc
import numpy as np
import pytest

from schemas.types import BanditPosterior
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from settings import Settings, load_settings
from settings.model import RedisSettings
from stack.local import LocalStack
from stores.online import OnlineWriter
from stores.posteriors import PosteriorReader, PosteriorWriter
from stores.redis_server import connect
from tests.serving.bandit.calling import SEGMENT, calling
from tests.serving.pretended import Outside

pytestmark = pytest.mark.e2e

WEIGHTS = np.linspace(-1, 1, 64, dtype="<f4")
# The machine of a test run may be busy.
PATIENT_MS = 2_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of which only the store is started."""
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("bandit"))
    try:
        yield local
    finally:
        local.down()


@pytest.fixture
def url(servers: LocalStack) -> str:
    """A store that knows one item."""
    servers.up("valkey")
    url = servers.settings.redis.url
    known = BanditPosterior(
        item_id="sku:7",
        context_segment=SEGMENT,
        version=9,
        timestamp_ms=5,
        log_time_ms=6,
        alpha=30.0,
        beta=10.0,
        weights=WEIGHTS.tobytes(),
        variances=WEIGHTS.tobytes(),
        total_impressions=38,
        total_rewards=29,
    )
    with connect(url) as client:
        client.flushall()
        PosteriorWriter(OnlineWriter(client)).write([known])
    return url


def outside_of(reader: PosteriorReader) -> Outside:
    outside = Outside(settings=Settings(redis=RedisSettings(timeout_ms=PATIENT_MS)))
    outside.posteriors = cast("Any", reader)
    return outside


async def test_what_the_job_wrote_is_drawn_from_and_told(url: str) -> None:
    items = ["sku:7", "new"]
    async with (
        PosteriorReader(url, timeout_ms=PATIENT_MS) as reader,
        calling(outside_of(reader)) as bandit,
    ):
        drawn = await bandit.Sample(
            pb.SampleRequest(item_ids=items, context_segment=SEGMENT, num_samples=100, seed=1)
        )
        told = await bandit.GetParameters(
            pb.ParameterRequest(item_ids=items, context_segment=SEGMENT, include_contextual=True)
        )
        elsewhere = await bandit.GetParameters(
            pb.ParameterRequest(item_ids=items[:1], context_segment="tv_xx_night")
        )
    assert [one.version for one in drawn.samples] == [9, 0]
    assert np.mean(drawn.samples[0].sampled_values) == pytest.approx(0.75, abs=0.03)
    known, new = told.parameters
    assert (known.known, known.version, known.thompson.alpha) == (True, 9, 30.0)
    assert (known.statistics.total_impressions, known.statistics.last_updated_ms) == (38, 5)
    assert list(known.contextual.feature_weights) == WEIGHTS.tolist()
    assert not new.known
    assert not elsewhere.parameters[0].known


async def test_with_the_store_killed_priors_answer_and_parameters_do_not(
    servers: LocalStack, url: str
) -> None:
    draws = pb.SampleRequest(item_ids=["sku:7"], context_segment=SEGMENT)
    parameters = pb.ParameterRequest(item_ids=["sku:7"], context_segment=SEGMENT)
    async with (
        PosteriorReader(url, timeout_ms=PATIENT_MS) as reader,
        calling(outside_of(reader)) as bandit,
    ):
        assert not (await bandit.Sample(draws)).fallbacks
        servers.take_away("valkey")
        answer = await bandit.Sample(draws)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await bandit.GetParameters(parameters)
        servers.up("valkey")
        back = await bandit.GetParameters(parameters)
    assert list(answer.fallbacks) == ["posteriors:redis_unavailable"]
    assert answer.samples[0].version == 0
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(back.parameters) == 1
