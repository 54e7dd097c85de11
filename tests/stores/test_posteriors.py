import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from schemas.redis_keys import BANDIT
from stack.local import LocalStack
from stores.errors import StoreRejected, StoreUnavailable
from stores.online import OnlineWriter
from stores.posteriors import PosteriorReader, PosteriorWriter
from tests.stores.records import NOW_MS, bandit_posterior

pytestmark = pytest.mark.e2e

SEGMENT = "mobile_us_evening"
WEIGHTS = np.linspace(-1, 1, 64, dtype="<f4")


@pytest.fixture
def posteriors(writer: OnlineWriter) -> PosteriorWriter:
    return PosteriorWriter(writer)


@pytest.fixture
async def posterior_reader(redis_url: str) -> AsyncIterator[PosteriorReader]:
    """Patient: the machine of a test run may be busy."""
    async with PosteriorReader(redis_url, timeout_ms=2_000) as reader:
        yield reader


async def test_a_posterior_is_read_as_it_was_written(
    posteriors: PosteriorWriter, posterior_reader: PosteriorReader
) -> None:
    written = bandit_posterior(
        "sku:ü",
        7,
        alpha=1 / 3,
        beta=1e9 + 0.1,
        prior_alpha=0.5,
        prior_beta=4.5,
        weights=WEIGHTS.tobytes(),
        variances=(WEIGHTS**2).tobytes(),
        total_rewards=5,
        exploration_count=2,
        exploitation_count=3,
    )
    assert posteriors.write([written]) == 1
    (read,) = await posterior_reader.many(["sku:ü"], SEGMENT)
    assert read is not None
    same = {one.name for one in fields(read)} - {"weights", "variances"}
    assert {name: getattr(read, name) for name in same} == {
        name: getattr(written, name) for name in same
    }
    assert read.weights is not None
    assert read.variances is not None
    assert (read.weights == WEIGHTS).all()
    assert (read.variances == WEIGHTS**2).all()


async def test_many_are_read_in_the_order_in_which_they_are_asked_for(
    posteriors: PosteriorWriter, posterior_reader: PosteriorReader, client: Any
) -> None:
    posteriors.write([bandit_posterior(f"i{n}", n + 1) for n in range(5)])
    posteriors.write([bandit_posterior("i9", 1, "tv_de_night")])
    found = await posterior_reader.many(["i3", "i9", "i0", "i3"], SEGMENT)
    assert [one and one.version for one in found] == [4, None, 1, 4]
    assert await posterior_reader.many([], SEGMENT) == []
    assert found[0] is not None
    assert (found[0].weights, found[0].variances) == (None, None)
    # Six posteriors and the list of their changes.
    assert client.dbsize() == 7
    assert client.ttl(BANDIT.of("i3", SEGMENT)) == -1


async def test_an_older_version_never_replaces_a_newer_one(
    posteriors: PosteriorWriter, posterior_reader: PosteriorReader
) -> None:
    assert posteriors.write([bandit_posterior("i", 5)]) == 1
    assert posteriors.write([bandit_posterior("i", 4)]) == 0
    assert posteriors.write([bandit_posterior("i", 5)]) == 1
    (read,) = await posterior_reader.many(["i"], SEGMENT)
    assert read is not None
    assert (read.version, read.alpha) == (5, 6.0)


async def test_a_job_that_counts_again_from_one_wins_by_its_later_log_time(
    posteriors: PosteriorWriter, posterior_reader: PosteriorReader
) -> None:
    posteriors.write([bandit_posterior("i", 50, weights=WEIGHTS.tobytes())])
    assert posteriors.write([bandit_posterior("i", 1, log_time_ms=NOW_MS + 50)]) == 0
    assert posteriors.write([bandit_posterior("i", 1, log_time_ms=NOW_MS + 51)]) == 1
    (read,) = await posterior_reader.many(["i"], SEGMENT)
    assert read is not None
    assert (read.version, read.weights) == (1, None)


async def test_a_batch_ends_as_its_records_one_by_one_do(
    posteriors: PosteriorWriter, posterior_reader: PosteriorReader
) -> None:
    versions = (3, 1, 4, 2)
    for version in versions:
        posteriors.write([bandit_posterior("one", version)])
    together = [bandit_posterior("all", version) for version in versions]
    assert posteriors.write([*together, bandit_posterior("all", 1, "tv_de_night")]) == 2
    found = await posterior_reader.many(["one", "all"], SEGMENT)
    assert [one and (one.version, one.alpha) for one in found] == [(4, 5.0), (4, 5.0)]


async def test_what_cannot_be_read_counts_as_missing_and_is_told(
    client: Any, posterior_reader: PosteriorReader, caplog: pytest.LogCaptureFixture
) -> None:
    client.hset(BANDIT.of("i", SEGMENT), mapping={"version": 1, "alpha": "much"})
    assert await posterior_reader.many(["i"], SEGMENT) == [None]
    assert f"bandit:i:{SEGMENT} can't be read" in caplog.text


def test_a_key_of_another_kind_is_refused(client: Any, posteriors: PosteriorWriter) -> None:
    client.set(BANDIT.of("i", SEGMENT), "something else")
    with pytest.raises(StoreRejected, match=r"Redis refused the write: .*WRONGTYPE"):
        posteriors.write([bandit_posterior("i", 1)])


async def test_a_store_that_hangs_is_unavailable_in_time(
    servers: LocalStack, redis_url: str
) -> None:
    async with PosteriorReader(redis_url, timeout_ms=50) as reader:
        await reader.many(["i"], SEGMENT)
        servers.kill("valkey", signal.SIGSTOP)
        try:
            async with asyncio.timeout(2):
                with pytest.raises(StoreUnavailable, match="Redis is not available"):
                    await reader.many(["i"], SEGMENT)
        finally:
            servers.kill("valkey", signal.SIGCONT)


async def test_what_was_written_is_told_in_order_and_what_was_refused_is_not(
    posteriors: PosteriorWriter, posterior_reader: PosteriorReader
) -> None:
    posteriors.write([bandit_posterior("a:b", 5), bandit_posterior("c", 1, "tv_de_night")])
    first = await posterior_reader.changed_after("0-0", limit=10)
    assert [(one.item_id, one.segment) for one in first] == [
        ("a:b", SEGMENT),
        ("c", "tv_de_night"),
    ]
    assert await posterior_reader.latest_change() == first[-1].change_id
    posteriors.write([bandit_posterior("a:b", 4)])
    assert await posterior_reader.changed_after(first[-1].change_id, limit=10) == []
    assert await posterior_reader.changed_after("0-0", limit=1) == first[:1]


async def test_changes_begin_at_the_beginning_where_there_are_none(
    posterior_reader: PosteriorReader,
) -> None:
    assert await posterior_reader.latest_change() == "0-0"
