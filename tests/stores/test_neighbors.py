from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from schemas.redis_keys import NEIGHBORS
from stack.local import LocalStack
from stores.errors import StoreUnavailable
from stores.neighbors import NeighborsReader, NeighborsView, NeighborsWriter
from stores.online import OnlineWriter
from tests.stores.records import NOW_MS, item_neighbors

pytestmark = pytest.mark.e2e


@pytest.fixture
def neighbors(writer: OnlineWriter) -> NeighborsWriter:
    return NeighborsWriter(writer)


@pytest.fixture
async def asking(redis_url: str) -> AsyncIterator[NeighborsReader]:
    async with NeighborsReader(redis_url, timeout_ms=2_000) as reader:
        yield reader


async def test_neighbours_are_read_as_they_were_written(
    neighbors: NeighborsWriter, asking: NeighborsReader, client: Any
) -> None:
    assert neighbors.write([item_neighbors("cüp", 3, säucer=0.5, lamp=0.25)]) == 1
    assert await asking.of(["nobody", "cüp"]) == [
        None,
        NeighborsView(version=3, timestamp_ms=NOW_MS, scored=(("säucer", 0.5), ("lamp", 0.25))),
    ]
    assert 0 < client.ttl(NEIGHBORS.of("cüp")) <= (NEIGHBORS.ttl_s or 0)
    assert client.dbsize() == 1
    assert await asking.of([]) == []


async def test_an_older_version_never_replaces_a_newer_one(
    neighbors: NeighborsWriter, asking: NeighborsReader
) -> None:
    five, four = item_neighbors("i", 5, a=0.5), item_neighbors("i", 4, b=0.5)
    assert neighbors.write([five, four]) == 1
    assert neighbors.write([four]) == 0
    assert neighbors.write([five]) == 1
    (view,) = await asking.of(["i"])
    assert view is not None
    assert (view.version, view.scored) == (5, (("a", 0.5),))
    restarted = replace(item_neighbors("i", 1, c=0.5), log_time_ms=NOW_MS + 99)
    assert neighbors.write([restarted]) == 1
    (view,) = await asking.of(["i"])
    assert view is not None
    assert view.version == 1


async def test_what_cannot_be_read_counts_as_missing(
    client: Any, asking: NeighborsReader, caplog: pytest.LogCaptureFixture
) -> None:
    client.hset(NEIGHBORS.of("i"), mapping={"version": 1, "timestamp_ms": 2, "neighbors": "["})
    assert await asking.of(["i"]) == [None]
    assert "neighbours of i can't be read" in caplog.text


async def test_a_store_that_is_away_is_told(servers: LocalStack) -> None:
    async with NeighborsReader("redis://127.0.0.1:1/0", timeout_ms=200) as reader:
        with pytest.raises(StoreUnavailable):
            await reader.of(["i"])
