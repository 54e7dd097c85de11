from dataclasses import replace
from typing import Any

import pytest

from schemas.redis_keys import ITEM_FEATURES, TRENDING
from stores.engagement import EngagementWriter
from stores.online import OnlineReader, OnlineWriter
from tests.stores.records import (
    NOW_MS,
    deleted_item,
    item_engagement,
    item_event,
    item_snapshot,
)

pytestmark = pytest.mark.e2e


@pytest.fixture
def engagement(writer: OnlineWriter) -> EngagementWriter:
    return EngagementWriter(writer)


def places(client: Any) -> dict[str, dict[bytes, float]]:
    found = {
        key.decode(): dict(client.zrange(key, 0, -1, withscores=True))
        for key in client.keys(TRENDING.of("*"))
    }
    return {key.removeprefix("trending:"): held for key, held in found.items()}


def test_features_are_a_hash_that_people_can_read(
    engagement: EngagementWriter, client: Any
) -> None:
    assert engagement.write([item_engagement("i", 3, all_24h=7.25)]) == 1
    stored = client.hgetall(ITEM_FEATURES.of("i"))
    wanted = {b"views_24h": b"4", b"ctr_24h": b"0.25", b"trending_score": b"7.25"}
    assert wanted.items() <= stored.items()
    assert (stored[b"version"], stored[b"timestamp_ms"]) == (b"3", str(NOW_MS).encode())


def test_an_older_version_never_replaces_a_newer_one(
    engagement: EngagementWriter, client: Any
) -> None:
    five, four = item_engagement("i", 5), item_engagement("i", 4)
    assert engagement.write([five, four]) == 1
    assert engagement.write([four]) == 0
    restarted = replace(item_engagement("i", 1), log_time_ms=NOW_MS + 99)
    assert engagement.write([restarted]) == 1
    assert client.hget(ITEM_FEATURES.of("i"), "version") == b"1"


async def test_an_item_trends_where_it_was_told_and_no_longer_where_it_was_not(
    engagement: EngagementWriter, writer: OnlineWriter, client: Any, reader: OnlineReader
) -> None:
    writer.write_items([item_snapshot("i", 1)])
    engagement.write([item_engagement("i", 1, all_1h=2.0, country_DE_24h=1.5)])
    assert places(client) == {"all:1h": {b"i": 2.0}, "country:DE:24h": {b"i": 1.5}}
    assert await reader.trending(9, segment="country:DE:24h") == [("i", 1.5)]
    engagement.write([item_engagement("i", 2, all_1h=3.0, country_FR_24h=1.0)])
    assert places(client) == {"all:1h": {b"i": 3.0}, "country:FR:24h": {b"i": 1.0}}


def test_segments_follow_the_catalogue_whichever_comes_first(
    engagement: EngagementWriter, writer: OnlineWriter, client: Any
) -> None:
    engagement.write([item_engagement("i", 1, all_1h=2.0)])
    assert places(client) == {}
    writer.write_items([item_snapshot("i", 1)])
    assert places(client) == {"all:1h": {b"i": 2.0}}
    writer.write_items([item_snapshot("i", 2, catalog=item_event("i", is_active=False))])
    assert places(client) == {}
    writer.write_items([item_snapshot("i", 3)])
    assert places(client) == {"all:1h": {b"i": 2.0}}
    writer.write_items([deleted_item("i", 4)])
    assert places(client) == {}
    assert client.ttl(ITEM_FEATURES.of("i")) > 0


def test_a_segment_holds_no_more_than_declared(
    engagement: EngagementWriter, writer: OnlineWriter, client: Any
) -> None:
    most = TRENDING.max_size or 0
    ids = [f"i{number}" for number in range(most + 5)]
    writer.write_items([item_snapshot(item_id, 1) for item_id in ids])
    engagement.write(
        [item_engagement(item_id, 1, all_1h=float(n)) for n, item_id in enumerate(ids)]
    )
    assert client.zcard(TRENDING.of("all:1h")) == most
    assert client.zscore(TRENDING.of("all:1h"), "i4") is None
