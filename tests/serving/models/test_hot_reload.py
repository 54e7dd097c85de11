"""Versions of the ranker come and go while it is asked: no request fails."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest

from freshet import served_models
from serving.model_calls import ModelUnavailableError
from serving.model_control import ModelServer, ModelServerError
from serving.ranker import ONE_ROW, Ranker
from stack.local import LocalStack
from stack.models import ModelFolder, folder

EVERY_S = 0.01
BROKEN = {
    "a file that is no model": ("model.onnx", "nothing"),
    "code that can't be read": ("model.py", "raise ValueError('planted')"),
    "code that ends its process": ("model.py", "import os\nos._exit(3)"),
}


@dataclass
class Asking:
    """A hundred requests a second, whatever becomes of them."""

    ranker: Ranker
    versions: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as asking:
            while True:
                asking.create_task(self._ask())
                await asyncio.sleep(EVERY_S)

    async def _ask(self) -> None:
        try:
            self.versions.append((await self.ranker.rank(ONE_ROW)).model_version)
        except ModelUnavailableError as error:
            self.failures.append(str(error))

    def in_turn(self) -> list[str]:
        """The versions that answered, each for as long as no other did."""
        return [version for version, _ in groupby(self.versions)]


@asynccontextmanager
async def asking(triton: LocalStack) -> AsyncIterator[Asking]:
    """The ranker asked steadily, from before the block until after it."""
    ranker = Ranker(triton.settings.triton.address)
    found = Asking(ranker)
    running = asyncio.create_task(found.run())
    try:
        await answered(found, 20)
        yield found
        await answered(found, 20)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ranker.close()


async def answered(found: Asking, more: int) -> None:
    until = len(found.versions) + more
    await eventually(lambda: len(found.versions) >= until)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (nobody tells us)
            await asyncio.sleep(EVERY_S)


@pytest.fixture
def ranker(triton: LocalStack) -> Iterator[ModelFolder]:
    """The ranker's directory; afterwards it has and serves what ships alone."""
    found = folder(triton.layout, "ranker")
    yield found
    served_models.load(triton.settings, "ranker", 1)
    for version in found.versions[1:]:
        shutil.rmtree(found.path / str(version))


def added(ranker: ModelFolder, version: int) -> Path:
    path = ranker.path / str(version)
    shutil.copytree(ranker.path / "1", path)
    return path


async def gone(triton: LocalStack, version: int) -> None:
    """Wait until a version has been unloaded."""
    with ModelServer(triton.settings.triton.address, timeout_s=5) as server:
        await eventually(lambda: state_of(server, version) == "UNAVAILABLE")


def state_of(server: ModelServer, version: int) -> str:
    return next(one.state for one in server.versions()["ranker"] if one.version == version)


async def test_a_new_version_takes_over_without_a_failed_request(
    triton: LocalStack, ranker: ModelFolder
) -> None:
    async with asking(triton) as asked:
        added(ranker, 1_000)
        await answered(asked, 20)
        assert asked.in_turn() == ["ranker:1"]
        served = await asyncio.to_thread(served_models.load, triton.settings, "ranker", None)
        await gone(triton, 1)
    assert served == 1_000
    assert asked.failures == []
    assert asked.in_turn() == ["ranker:1", "ranker:1000"]


async def test_an_older_version_comes_back_without_a_failed_request(
    triton: LocalStack, ranker: ModelFolder
) -> None:
    added(ranker, 1_000)
    served_models.load(triton.settings, "ranker", 1_000)
    async with asking(triton) as asked:
        await asyncio.to_thread(served_models.load, triton.settings, "ranker", 1)
        await gone(triton, 1_000)
    assert asked.failures == []
    assert asked.in_turn() == ["ranker:1000", "ranker:1"]


async def test_the_same_version_is_loaded_anew_without_a_failed_request(
    triton: LocalStack, ranker: ModelFolder
) -> None:
    async with asking(triton) as asked:
        await asyncio.to_thread(served_models.load, triton.settings, "ranker", 1)
    assert asked.failures == []
    assert asked.in_turn() == ["ranker:1"]


@pytest.mark.parametrize(("file", "content"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_version_leaves_the_old_one(
    triton: LocalStack, ranker: ModelFolder, file: str, content: str
) -> None:
    (added(ranker, 1_000) / file).write_text(content)
    async with asking(triton) as asked:
        with pytest.raises(ModelServerError, match=r"version 1000 .*; ranker goes on as before"):
            await asyncio.to_thread(served_models.load, triton.settings, "ranker", None)
    assert asked.failures == []
    assert asked.in_turn() == ["ranker:1"]
    assert ranker.serves == 1


async def test_a_version_of_another_contract_is_not_loaded(
    triton: LocalStack, ranker: ModelFolder
) -> None:
    """A file that loads, but takes other features, would fail every request."""
    tower = folder(triton.layout, "emotion").path / "1" / "model.onnx"
    shutil.copy(tower, added(ranker, 1_000) / "model.onnx")
    async with asking(triton) as asked:
        with pytest.raises(ModelServerError, match="ranker goes on as before"):
            await asyncio.to_thread(served_models.load, triton.settings, "ranker", 1_000)
    assert (asked.failures, asked.in_turn()) == ([], ["ranker:1"])


async def test_a_killed_server_comes_back_with_the_chosen_version(
    triton: LocalStack, ranker: ModelFolder
) -> None:
    for version in (1_000, 1_001):
        added(ranker, version)
    served_models.load(triton.settings, "ranker", 1_000)
    triton.take_away("triton")
    triton.up("triton")
    client = Ranker(triton.settings.triton.address)
    assert (await client.rank(ONE_ROW)).model_version == "ranker:1000"
    await client.close()
