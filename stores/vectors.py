"""The vector store: Milvus.

pymilvus' own clients keep a global registry of connections with gRPC's default pauses between
attempts (two minutes at most), retry a search 75 times, and parse what isn't asked for. Here its
requests go over channels of our own.
"""

import base64
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException
from pymilvus.client.prepare import Prepare
from pymilvus.client.utils import check_status
from pymilvus.grpc_gen.milvus_pb2 import UpsertRequest
from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub
from pymilvus.grpc_gen.schema_pb2 import FieldData

from schemas.collections import (
    COLLECTIONS,
    ID_MAX_LENGTH,
    ITEM_DIM,
    ITEM_EMBEDDINGS,
    USER_EMBEDDINGS,
    Collection,
    Field,
)
from schemas.types import EmbeddingUpdate, ItemEvent, ItemSnapshot
from stores.errors import StoreError, StoreRejected, StoreUnavailable, read_from
from stores.fair_timeout import fair_timeout
from stores.time_left import time_left
from stores.views import Vector

STORE = "Milvus"
ID, VECTOR, METRIC = "id", "vector", "IP"

# What is written becomes visible after about 200 ms at any level; only this one never waits for it.
CONSISTENCY = "Eventually"

# A price that isn't known; a price filter never matches it.
NO_PRICE = -1.0

# What Milvus answers to a write that it would refuse again: invalid or missing parameter, a field
# that isn't there. Anything else passes.
REFUSALS = frozenset({1100, 1101, 1700})

# Come back within a second of the server's return, and notice a server that fell silent.
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    # Channels with equal options share one connection, and with it their failures.
    ("grpc.use_local_subchannel_pool", 1),
)

DATA_TYPES = {
    "string": DataType.VARCHAR,
    "int64": DataType.INT64,
    "float": DataType.FLOAT,
    "bool": DataType.BOOL,
}


# Where a column's values stand in a request.
SCALARS = {
    "string": "string_data",
    "int64": "long_data",
    "float": "float_data",
    "bool": "bool_data",
}


class CollectionMismatch(StoreError):  # noqa: N818
    """A collection is there, but not as declared."""


@dataclass(frozen=True, kw_only=True)
class ItemFilter:
    """Which items a search may find; what is left out allows all."""

    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    price_min: float | None = None
    price_max: float | None = None
    in_stock: bool = False

    def expression(self) -> str:
        r"""Say it in Milvus' language; values are quoted, so that no text can change the meaning.

        >>> ItemFilter(categories=('a"b',), price_max=9.5).expression()
        'category_id in ["a\\"b"] and price >= 0.0 and price <= 9.5'
        """
        return " and ".join(self._conditions())

    def _conditions(self) -> Iterator[str]:
        if self.categories:
            yield f"category_id in {_listed(self.categories, 'category_id')}"
        if self.brands:
            yield f"brand_id in {_listed(self.brands, 'brand_id')}"
        if self.exclude:
            yield f"{ID} not in {_listed(self.exclude, ID)}"
        if self.price_min is not None or self.price_max is not None:
            yield f"price >= {_number(max(self.price_min or 0.0, 0.0))}"
        if self.price_max is not None:
            yield f"price <= {_number(self.price_max)}"
        if self.in_stock:
            yield 'availability != "out_of_stock"'


EVERYTHING = ItemFilter()


def _listed(values: Sequence[str], field: str) -> str:
    limit = _limits(ITEM_EMBEDDINGS).get(field, ID_MAX_LENGTH)
    return json.dumps([_cut(value, limit) for value in values], ensure_ascii=False)


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"a price limit is {value}; it must be a finite number")
    return repr(float(value))


def _limits(collection: Collection) -> dict[str, int]:
    return {field.name: field.max_length for field in collection.fields}


def _cut(text: str, limit: int) -> str:
    """Keep what fits into `limit` bytes: Milvus would refuse the whole batch."""
    return text.encode()[:limit].decode(errors="ignore")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MilvusException as error:
        refused = isinstance(error.code, int) and error.code in REFUSALS
        refused = refused or type(error) is not MilvusException
        raise (StoreRejected if refused else StoreUnavailable)(STORE, error) from error
    except grpc.RpcError as error:
        raise StoreUnavailable(STORE, _reason(error)) from error


def _reason(error: grpc.RpcError) -> str:
    return f"{error.code().name}: {error.details()}"


def ensure_collections(
    uri: str, *, token: str = "", collections: Sequence[Collection] = COLLECTIONS
) -> list[str]:
    """Create and load the declared collections; answers the names of those it created."""
    try:
        # Of its own, because closing a connection closes it for all who use its name.
        client = MilvusClient(uri=uri, token=token, timeout=5.0, alias=uuid4().hex)
    except MilvusException as error:
        raise StoreUnavailable(STORE, f"{uri}: {error.message}") from error
    try:
        with _translated():
            return [one.name for one in collections if _ensure(client, one)]
    finally:
        client.close()


def _ensure(client: Any, collection: Collection) -> bool:
    missing = not client.has_collection(collection.name)
    if missing:
        client.create_collection(
            collection.name,
            schema=_schema(collection),
            index_params=_index(collection),
            consistency_level=CONSISTENCY,
        )
    else:
        _check(client.describe_collection(collection.name), collection)
    client.load_collection(collection.name)
    return missing


def _schema(collection: Collection) -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=ID_MAX_LENGTH)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=collection.dim)
    for field in collection.fields:
        schema.add_field(field.name, DATA_TYPES[field.kind], **_length(field))
    return schema


def _length(field: Field) -> dict[str, int]:
    return {"max_length": field.max_length} if field.kind == "string" else {}


def _index(collection: Collection) -> Any:
    index = collection.index
    params = MilvusClient.prepare_index_params()
    params.add_index(
        VECTOR,
        index_type="HNSW",
        metric_type=METRIC,
        params={"M": index.m, "efConstruction": index.ef_construction},
    )
    return params


def _check(found: dict[str, Any], collection: Collection) -> None:
    there = {field["name"]: field for field in found["fields"]}
    dim = there.get(VECTOR, {}).get("params", {}).get("dim")
    missing = {ID, VECTOR, *(field.name for field in collection.fields)} - there.keys()
    if dim == collection.dim and not missing:
        return
    problem = f"lacks {', '.join(sorted(missing))}" if missing else f"has vectors of {dim} numbers"
    raise CollectionMismatch(
        f"Milvus collection {collection.name} {problem}; vectors of {collection.dim} numbers and "
        f"the fields of schemas/collections.py are needed. It was made by another version or by "
        f"another program: drop it, so that it's made again, or set milvus.external to another "
        f"server."
    )


class VectorWriter:
    """Writes vectors, a batch in one request; writing again changes nothing."""

    def __init__(self, uri: str, *, token: str = "", timeout_s: float = 10.0) -> None:
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(_address(uri), options=CHANNEL_OPTIONS)
        self._stub = MilvusServiceStub(self._channel)
        self._metadata = _authorization(token)

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def upsert_users(self, updates: Sequence[EmbeddingUpdate]) -> int:
        """Write the latest vector of each user, or delete it; answers how many were written."""
        latest: dict[str, EmbeddingUpdate] = {}
        erased: set[str] = set()
        for update in updates:
            known = latest.get(update.user_id)
            if update.erased:
                erased.add(update.user_id)
                latest.pop(update.user_id, None)
            elif known is None or update.embedding.version >= known.embedding.version:
                latest[update.user_id] = update
        self._delete(USER_EMBEDDINGS, sorted(erased - latest.keys()))
        return self._upsert(USER_EMBEDDINGS, [_user_row(update) for update in latest.values()])

    def upsert_items(self, items: Sequence[ItemSnapshot]) -> int:
        """Write the last of each item's snapshots; one that can't be found any more is deleted."""
        last = {item.item_id: item for item in items}
        found = [item for item in last.values() if _is_searchable(item)]
        self.delete_items([item.item_id for item in last.values() if not _is_searchable(item)])
        return self._upsert(ITEM_EMBEDDINGS, [_item_row(item) for item in found])

    def delete_items(self, item_ids: Sequence[str]) -> None:
        """Take items out of every search."""
        self._delete(ITEM_EMBEDDINGS, item_ids)

    def _delete(self, collection: Collection, ids: Sequence[str]) -> None:
        if ids:
            expression = f"{ID} in {json.dumps(list(ids), ensure_ascii=False)}"
            with _translated():
                request = Prepare.delete_request(
                    collection.name, filter=expression, consistency_level=CONSISTENCY
                )
                self._call(self._stub.Delete, request)

    def _upsert(self, collection: Collection, rows: list[dict[str, Any]]) -> int:
        if rows:
            with _translated():
                self._call(self._stub.Upsert, _upsert_request(collection, rows))
        return len(rows)

    def _call(self, method: Any, request: Any) -> None:
        response = method(request, timeout=self._timeout_s, metadata=self._metadata)
        check_status(response.status)


def _authorization(token: str) -> tuple[tuple[str, bytes], ...]:
    return (("authorization", base64.b64encode(token.encode())),) if token else ()


def _address(uri: str) -> str:
    return urlsplit(uri if "://" in uri else f"//{uri}").netloc


def _upsert_request(collection: Collection, rows: Sequence[dict[str, Any]]) -> UpsertRequest:
    """What pymilvus makes of rows number by number, in a seventieth of its time."""
    columns = [_column(ID, "string", rows), _vectors(collection, rows)]
    columns += [_column(field.name, field.kind, rows) for field in collection.fields]
    return UpsertRequest(collection_name=collection.name, num_rows=len(rows), fields_data=columns)


def _column(name: str, kind: str, rows: Sequence[dict[str, Any]]) -> FieldData:
    column = FieldData(field_name=name, type=DATA_TYPES[kind])
    part = getattr(column.scalars, SCALARS[kind])
    part.data.extend([row[name] for row in rows])
    return column


def _vectors(collection: Collection, rows: Sequence[dict[str, Any]]) -> FieldData:
    raw = b"".join(row[VECTOR].tobytes() for row in rows)
    column = FieldData(field_name=VECTOR, type=DataType.FLOAT_VECTOR)
    column.vectors.dim = collection.dim
    # In protobuf's form a list of floats is their bytes, behind a tag and a length.
    column.vectors.float_vector.MergeFromString(b"\x0a" + _varint(len(raw)) + raw)
    return column


def _varint(number: int) -> bytes:
    """A number as protobuf writes lengths: seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _user_row(update: EmbeddingUpdate) -> dict[str, Any]:
    return {
        ID: update.user_id,
        VECTOR: np.frombuffer(update.embedding.vector, "<f4"),
        "segment": "",
        "last_active": update.timestamp_ms,
        "version": update.embedding.version,
        "embedding_source": update.embedding.source,
    }


def _is_searchable(item: ItemSnapshot) -> bool:
    return (
        not item.deleted
        and item.unified is not None
        and item.catalog is not None
        and item.catalog.is_active
    )


def _item_row(item: ItemSnapshot) -> dict[str, Any]:
    """The row of an item; its `popularity` is the catalogue's: events would rewrite its vector."""
    assert item.catalog is not None
    assert item.unified is not None
    limits = _limits(ITEM_EMBEDDINGS)
    return {
        ID: item.item_id,
        VECTOR: np.frombuffer(item.unified, "<f4"),
        "category_id": _cut(item.catalog.category_id or "", limits["category_id"]),
        "brand_id": _cut(item.catalog.brand_id or "", limits["brand_id"]),
        "price": _price(item.catalog),
        "popularity": item.catalog.popularity_score,
        "freshness": item.catalog.freshness_score,
        "availability": item.catalog.availability,
        "modalities": _cut(",".join(item.modalities), limits["modalities"]),
        "version": item.version,
    }


def _price(catalog: ItemEvent) -> float:
    return NO_PRICE if catalog.price is None else float(catalog.price)


class VectorReader:
    """Searches for the service, each call within its time or `StoreUnavailable`.

    Used inside one event loop; the connection is made with the first search.
    """

    def __init__(self, uri: str, *, timeout_ms: int, token: str = "") -> None:
        self._address = _address(uri)
        self._timeout_s = timeout_ms / 1000
        self._metadata = _authorization(token)
        self._channel: grpc.aio.Channel | None = None
        self._stub: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            await self._channel.close()
        self._channel = self._stub = None

    async def search_items(
        self,
        vector: Vector,
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[tuple[str, float]]:
        """Find the `k` items nearest to a unit vector of 1024, with their cosines."""
        (found,) = await self.search_items_each([vector], k, filter=filter)
        return found

    async def search_items_each(
        self,
        vectors: Sequence[Vector],
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[list[tuple[str, float]]]:
        """Find the `k` items nearest to each of some vectors, in one round trip."""
        for vector in vectors:
            if vector.shape != (ITEM_DIM,):
                raise ValueError(
                    f"a vector of {vector.shape}; items are found by one of ({ITEM_DIM},)"
                )
        request = _search(ITEM_EMBEDDINGS, vectors, k, filter.expression())
        response = await self._call("Search", request)
        if response.status.code or response.status.error_code:
            raise StoreUnavailable(STORE, response.status.reason)
        return _hits(response.results, of=len(vectors))

    async def _call(self, name: str, request: Any) -> Any:
        """Call the server; gRPC's own deadline is doubled by ours, which a stuck loop obeys too."""
        timeout_s = time_left(at_most_s=self._timeout_s)
        try:
            async with fair_timeout(timeout_s):
                method = getattr(self._connected(), name)
                return await method(request, timeout=timeout_s, metadata=self._metadata)
        except TimeoutError as error:
            raise StoreUnavailable(STORE, f"no answer in {timeout_s:.3g} s") from error
        except grpc.RpcError as error:
            raise StoreUnavailable(STORE, _reason(error)) from error

    def _connected(self) -> Any:
        if self._stub is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=CHANNEL_OPTIONS)
            self._stub = MilvusServiceStub(self._channel)
        return self._stub


def _hits(results: Any, *, of: int) -> list[list[tuple[str, float]]]:
    """The hits of each vector, as long as the answer is one to what was asked."""
    with read_from(STORE):
        found = list(zip(results.ids.str_id.data, results.scores, strict=True))
        if len(results.topks) != of or not all(math.isfinite(score) for _, score in found):
            raise ValueError(f"{found[:3]}, counted as {list(results.topks)}, for {of} vectors")
        each = iter(found)
        return [list(islice(each, count)) for count in results.topks]


def _search(collection: Collection, vectors: Sequence[Vector], k: int, expression: str) -> Any:
    ef = max(collection.index.ef_search, k)
    return Prepare.search_requests_with_expr(
        collection.name,
        list(vectors),
        VECTOR,
        {"metric_type": METRIC, "params": {"ef": ef}},
        k,
        expr=expression or None,
        output_fields=[],
        consistency_level=CONSISTENCY,
    )
