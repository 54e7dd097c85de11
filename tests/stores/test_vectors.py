import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from schemas.collections import COLLECTIONS, ITEM_EMBEDDINGS, USER_EMBEDDINGS
from stack.local import LocalStack
from stores.errors import StoreRejected, StoreUnavailable
from stores.vectors import (
    CollectionMismatch,
    ItemFilter,
    VectorReader,
    VectorWriter,
    ensure_collections,
)
from stores.views import Vector
from tests.stores.records import (
    deleted_item,
    embedding_update,
    item_event,
    item_snapshot,
    unit,
)

pytestmark = pytest.mark.e2e

WIDE = 1024
HOSTILE = ('a"b', "a'b", "a\\", '"] or id != "', "ü✓", "new\nline", "a%b_", "tab\t", "")


@pytest.fixture
def vectors(milvus_uri: str) -> Iterator[VectorWriter]:
    with VectorWriter(milvus_uri) as writer:
        yield writer


@pytest.fixture
async def search(milvus_uri: str) -> AsyncIterator[VectorReader]:
    async with VectorReader(milvus_uri, timeout_ms=3_000) as reader:
        yield reader


@pytest.fixture
def stored(milvus_uri: str) -> Iterator[MilvusClient]:
    client = MilvusClient(uri=milvus_uri)
    yield client
    client.close()


async def test_several_vectors_are_searched_by_in_one_round_trip(
    vectors: VectorWriter, search: VectorReader
) -> None:
    vectors.upsert_items([item_snapshot(f"each-{n}", 9_000 + n) for n in range(20)])
    queries = [unit(9_003, dim=WIDE), unit(9_011, dim=WIDE)]
    await until(search, queries[0], 1, expected={"each-3"})
    await until(search, queries[1], 1, expected={"each-11"})
    one_by_one = [await search.search_items(query, 7) for query in queries]
    together = await search.search_items_each(queries, 7)
    assert [[name for name, _ in found] for found in together] == [
        [name for name, _ in found] for found in one_by_one
    ]
    assert [len(found) for found in together] == [7, 7]
    with pytest.raises(ValueError, match=r"\(512,\)"):
        await search.search_items_each([queries[0], unit(1)], 1)


async def test_items_are_found_by_their_cosine_nearest_first(
    vectors: VectorWriter, search: VectorReader
) -> None:
    items = [item_snapshot(f"near-{n}", 100 + n) for n in range(20)]
    assert vectors.upsert_items(items) == 20
    query = unit(100, dim=WIDE) + 0.5 * unit(101, dim=WIDE)
    query /= np.linalg.norm(query)
    only = ItemFilter(exclude=tuple(f"near-{n}" for n in range(5, 20)))
    found = await until(search, query, 2, only, expected={"near-0", "near-1"})
    assert [item_id for item_id, _ in found] == ["near-0", "near-1"]
    assert [score for _, score in found] == pytest.approx(
        [float(query @ unit(100 + n, dim=WIDE)) for n in (0, 1)], abs=1e-5
    )


async def test_the_last_snapshot_of_a_batch_counts_and_a_deleted_item_is_not_found(
    vectors: VectorWriter, search: VectorReader
) -> None:
    vectors.upsert_items([item_snapshot("twice", 1), item_snapshot("twice", 201)])
    await until(search, unit(201, dim=WIDE), 1, expected={"twice"})
    for gone in (
        deleted_item("twice", 202),
        item_snapshot("twice", 203, catalog=item_event("twice", is_active=False)),
        item_snapshot("twice", 204, unified=None),
    ):
        vectors.upsert_items([gone])
        await until_gone(search, unit(201, dim=WIDE), "twice")
        vectors.upsert_items([item_snapshot("twice", 201)])
        await until(search, unit(201, dim=WIDE), 1, expected={"twice"})


async def test_filters_hold_alone_and_together(vectors: VectorWriter, search: VectorReader) -> None:
    catalogs = {
        "f-cheap": item_event("f-cheap", category_id="fa", brand_id="x", price=1.0),
        "f-dear": item_event("f-dear", category_id="fa", brand_id="y", price=90.0),
        "f-unpriced": item_event("f-unpriced", category_id="fb", brand_id="x"),
        "f-sold-out": item_event(
            "f-sold-out", category_id="fb", brand_id="y", price=5.0, availability="out_of_stock"
        ),
    }
    vectors.upsert_items([item_snapshot(n, 300, catalog=c) for n, c in catalogs.items()])
    query = unit(300, dim=WIDE)
    both = ("fa", "fb")
    await until(search, query, 4, ItemFilter(categories=both), expected=set(catalogs))
    expected = {
        ItemFilter(categories=("fa",)): {"f-cheap", "f-dear"},
        ItemFilter(categories=both, brands=("x",)): {"f-cheap", "f-unpriced"},
        ItemFilter(categories=both, price_max=50): {"f-cheap", "f-sold-out"},
        ItemFilter(categories=both, price_min=2): {"f-dear", "f-sold-out"},
        ItemFilter(categories=both, price_min=2, price_max=50): {"f-sold-out"},
        ItemFilter(categories=both, price_max=50, in_stock=True): {"f-cheap"},
        ItemFilter(categories=both, exclude=("f-dear", "f-cheap")): {"f-unpriced", "f-sold-out"},
        ItemFilter(categories=("nothing",)): set(),
    }
    for only, wanted in expected.items():
        found = {item_id for item_id, _ in await search.search_items(query, 9, filter=only)}
        assert found == wanted, only


async def test_no_text_in_a_filter_changes_its_meaning(
    vectors: VectorWriter, search: VectorReader
) -> None:
    items = [
        item_snapshot(f"h-{text}", 400, catalog=item_event(f"h-{text}", category_id=f"h{text}"))
        for text in HOSTILE
    ]
    vectors.upsert_items(items)
    query = unit(400, dim=WIDE)
    every = ItemFilter(categories=tuple(f"h{text}" for text in HOSTILE))
    await until(search, query, len(HOSTILE), every, expected={f"h-{text}" for text in HOSTILE})
    for text in HOSTILE:
        found = await search.search_items(query, 50, filter=ItemFilter(categories=(f"h{text}",)))
        assert [item_id for item_id, _ in found] == [f"h-{text}"]
        rest = await search.search_items(query, 50, filter=replace(every, exclude=(f"h-{text}",)))
        assert f"h-{text}" not in {item_id for item_id, _ in rest}
        assert len(rest) == len(HOSTILE) - 1
    vectors.delete_items([f"h-{text}" for text in HOSTILE[:-1]])
    await until(search, query, 1, every, expected={"h-"})


async def test_a_long_category_is_cut_alike_in_the_store_and_in_the_filter(
    vectors: VectorWriter, search: VectorReader
) -> None:
    long = "ü" * 300
    vectors.upsert_items([item_snapshot("long", 500, catalog=item_event("long", category_id=long))])
    query = unit(500, dim=WIDE)
    await until(search, query, 1, ItemFilter(categories=(long,)), expected={"long"})


def rows(stored: MilvusClient, user_id: str, *fields: str) -> list[dict[str, Any]]:
    """What is kept of a user, with all that was written before."""
    found: list[dict[str, Any]] = stored.query(
        USER_EMBEDDINGS.name,
        filter=f'id == "{user_id}"',
        output_fields=list(fields),
        consistency_level="Strong",
    )
    return found


def test_the_newest_vector_of_a_user_is_kept(vectors: VectorWriter, stored: MilvusClient) -> None:
    written = vectors.upsert_users([embedding_update("user", v) for v in (1, 3, 2)])
    assert written == 1
    (row,) = rows(stored, "user", "vector", "version", "embedding_source", "last_active")
    assert (row["version"], row["embedding_source"]) == (3, "streaming")
    assert np.allclose(row["vector"], unit(3))


def test_the_vector_of_a_user_who_is_forgotten_is_deleted(
    vectors: VectorWriter, stored: MilvusClient
) -> None:
    erased = replace(embedding_update("gone", 2), erased=True)
    again = embedding_update("back", 1)
    vectors.upsert_users([embedding_update("gone", 1), embedding_update("back", 3)])
    assert vectors.upsert_users([erased, replace(erased, user_id="back"), again]) == 1
    assert rows(stored, "gone", "version") == []
    (row,) = rows(stored, "back", "version")
    assert row["version"] == 1


def test_nothing_to_write_is_no_request(vectors: VectorWriter) -> None:
    assert (vectors.upsert_users([]), vectors.upsert_items([])) == (0, 0)


def test_what_milvus_refuses_is_told_from_what_it_cannot_do_now(vectors: VectorWriter) -> None:
    with pytest.raises(StoreRejected, match="Milvus refused the write"):
        vectors.upsert_items([item_snapshot("x" * 300, 1)])


async def test_a_query_must_fit_the_items(search: VectorReader) -> None:
    with pytest.raises(
        ValueError, match=r"a vector of \(512,\); items are found by one of \(1024,\)"
    ):
        await search.search_items(unit(1), 1)
    with pytest.raises(ValueError, match="a price limit is nan; it must be a finite number"):
        await search.search_items(unit(1, dim=WIDE), 1, filter=ItemFilter(price_max=float("nan")))


def test_collections_are_made_once_as_declared(milvus_uri: str, stored: MilvusClient) -> None:
    assert ensure_collections(milvus_uri) == []
    for collection in COLLECTIONS:
        index = stored.describe_index(collection.name, "vector")
        assert index["index_type"] == "HNSW"
        assert index["M"] == str(collection.index.m)
        assert index["efConstruction"] == str(collection.index.ef_construction)


def test_a_collection_that_differs_is_an_error_that_says_what_to_do(milvus_uri: str) -> None:
    small = replace(ITEM_EMBEDDINGS, name="small", dim=8)
    assert ensure_collections(milvus_uri, collections=[small]) == ["small"]
    with pytest.raises(CollectionMismatch, match=r"small has vectors of 8 numbers.* drop it"):
        ensure_collections(milvus_uri, collections=[replace(small, dim=16)])
    more = replace(small, fields=(*small.fields, replace(small.fields[0], name="new")))
    with pytest.raises(CollectionMismatch, match="small lacks new"):
        ensure_collections(milvus_uri, collections=[more])


def test_ensuring_leaves_the_connections_of_others_alone(
    milvus_uri: str, stored: MilvusClient
) -> None:
    ensure_collections(milvus_uri)
    assert stored.has_collection(ITEM_EMBEDDINGS.name)


async def test_nothing_listens() -> None:
    async with VectorReader("http://127.0.0.1:9", timeout_ms=300) as reader:
        with pytest.raises(StoreUnavailable, match="Milvus is not available"):
            await reader.search_items(unit(1, dim=WIDE), 1)
    writer = VectorWriter("http://127.0.0.1:9", timeout_s=1)
    with writer, pytest.raises(StoreUnavailable, match="Milvus is not available"):
        writer.upsert_items([item_snapshot("i", 1)])
    with pytest.raises(StoreUnavailable, match=r"http://127\.0\.0\.1:9"):
        ensure_collections("http://127.0.0.1:9")


async def test_a_silent_server_costs_the_timeout(servers: LocalStack, milvus_uri: str) -> None:
    async with VectorReader(milvus_uri, timeout_ms=500) as reader:
        await until_back(reader)
        servers.kill("milvus", signal.SIGSTOP)
        await asyncio.sleep(0.2)  # on a busy machine a stop takes a moment
        try:
            began = time.monotonic()
            assert await failed(reader)
            assert time.monotonic() - began < 1
        finally:
            servers.kill("milvus", signal.SIGCONT)
        assert await until_back(reader) < 5


async def test_it_works_again_soon_after_the_server_was_killed(
    servers: LocalStack, milvus_uri: str
) -> None:
    with VectorWriter(milvus_uri, timeout_s=2) as writer:
        writer.upsert_items([item_snapshot("kept", 600)])
        async with VectorReader(milvus_uri, timeout_ms=1_000) as reader:
            await until_back(reader)
            servers.take_away("milvus")
            assert await failed(reader)
            with pytest.raises(StoreUnavailable):
                writer.upsert_items([item_snapshot("kept", 601)])
            servers.up("milvus")
            ensure_collections(milvus_uri)
            assert await until_back(reader) < 5
            writer.upsert_items([item_snapshot("kept", 601)])
            await until(reader, unit(601, dim=WIDE), 1, expected={"kept"})


def test_a_first_write_finds_out_at_once_that_the_server_is_gone() -> None:
    began = time.monotonic()
    writer = VectorWriter("http://127.0.0.1:9", timeout_s=5)
    with writer, pytest.raises(StoreUnavailable):
        writer.upsert_users([embedding_update("u", 1)])
    assert time.monotonic() - began < 2


async def failed(reader: VectorReader) -> bool:
    try:
        await reader.search_items(unit(1, dim=WIDE), 1)
    except StoreUnavailable:
        return True
    return False


async def until_back(reader: VectorReader) -> float:
    """Seconds until the first answer."""
    began = time.monotonic()
    while await failed(reader) and time.monotonic() - began < 60:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def until(
    reader: VectorReader,
    query: Vector,
    k: int,
    only: ItemFilter | None = None,
    *,
    expected: set[str],
) -> list[tuple[str, float]]:
    """Search until what was written has become visible, which takes a moment."""
    began = time.monotonic()
    while True:
        found = await reader.search_items(query, k, filter=only or ItemFilter())
        near = {item_id for item_id, score in found if score > 0.3}
        if near == expected or time.monotonic() - began > 10:
            assert near == expected
            return found
        await asyncio.sleep(0.05)


async def until_gone(reader: VectorReader, query: Vector, item_id: str) -> None:
    began = time.monotonic()
    while item_id in {one for one, _ in await reader.search_items(query, 5)}:
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
