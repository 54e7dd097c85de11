"""A stack without Flink, filled with a small shop, and the service in front of it."""

import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from bench.seeding import Shop, fill
from settings import Settings, load_settings
from stack.local import LocalStack

PARTS = ("kafka", "valkey", "milvus", "triton")
ITEMS, USERS = 400, 16
READY_WITHIN_S = 30


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The servers; a test that stops one brings it back: `servers.up("valkey")`."""
    base = Settings(cache_dir=load_settings().cache_dir)
    local = LocalStack.beside(base, data_dir=tmp_path_factory.mktemp("service"))
    try:
        local.up(*PARTS)
        yield local
    finally:
        local.down()


@pytest.fixture(scope="package")
def shop(servers: LocalStack) -> Shop:
    """What the stores hold."""
    return fill(servers.settings, items=ITEMS, users=USERS)


@pytest.fixture(scope="package")
def address(servers: LocalStack, shop: Shop) -> str:
    """The service, once it knows all items."""
    servers.up("api")
    serving = servers.settings.serving
    url = f"http://{serving.host}:{serving.port}"
    give_up = time.monotonic() + READY_WITHIN_S
    while httpx.get(f"{url}/readyz").json()["catalogue_items"] < len(shop.items):
        assert time.monotonic() < give_up, httpx.get(f"{url}/readyz").text
        time.sleep(0.1)
    return url


@pytest.fixture
async def client(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service."""
    async with httpx.AsyncClient(base_url=address, timeout=5) as opened:
        yield opened
