"""Real servers for the stores: Kafka, Valkey and Milvus on free ports."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from settings import Settings, load_settings
from stack.local import LocalStack
from stores.event_log import create_topics
from stores.online import OnlineReader, OnlineWriter
from stores.redis_server import connect
from stores.vectors import ensure_collections


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of which each test starts what it needs, and brings back what it stops."""
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("stores"))
    try:
        yield local
    finally:
        local.down()


@pytest.fixture(scope="package")
def bootstrap(servers: LocalStack) -> str:
    """Kafka, with its topics."""
    servers.up("kafka")
    address = servers.settings.kafka.bootstrap
    create_topics(address, scale=0.04, replication=1)
    return address


@pytest.fixture
def redis_url(servers: LocalStack) -> str:
    """An empty online store."""
    servers.up("valkey")
    url = servers.settings.redis.url
    with connect(url) as client:
        client.flushall()
    return url


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    """The store as it is, below our readers and writers."""
    with connect(redis_url) as client:
        yield client


@pytest.fixture
def writer(client: "redis.Redis") -> OnlineWriter:
    return OnlineWriter(client)


@pytest.fixture
async def reader(redis_url: str) -> AsyncIterator[OnlineReader]:
    """Patient: the machine of a test run may be busy."""
    async with OnlineReader(redis_url, timeout_ms=2_000) as reader:
        yield reader


@pytest.fixture(scope="package")
def milvus_uri(servers: LocalStack) -> str:
    """The vector store, with its collections."""
    servers.up("milvus")
    uri = servers.settings.milvus.uri
    ensure_collections(uri)
    return uri
