import asyncio
import time

import pytest

from stores.errors import StoreUnavailable
from stores.user_vectors import UserVectorReader
from stores.vectors import VectorWriter
from tests.stores.records import embedding_update

pytestmark = pytest.mark.e2e


async def test_a_users_row_is_found_by_an_id_of_any_kind(milvus_uri: str) -> None:
    user_id = 'looked-up "ü\\'
    with VectorWriter(milvus_uri) as writer:
        writer.upsert_users([embedding_update(user_id, 3), embedding_update("beside", 9)])
    async with UserVectorReader(milvus_uri, timeout_ms=5_000) as reader:
        until = time.monotonic() + 20
        while (row := await reader.user(user_id)) is None:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)
        assert row["version"] == 3
        assert row.keys() >= {"version", "last_active", "embedding_source"}
        assert await reader.user("nobody") is None


async def test_a_store_that_is_away_is_named() -> None:
    async with UserVectorReader("http://127.0.0.1:9", timeout_ms=500) as reader:
        with pytest.raises(StoreUnavailable, match="Milvus is not available"):
            await reader.user("u")
