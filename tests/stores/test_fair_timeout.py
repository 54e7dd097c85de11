import asyncio
import time

import pytest

from stores.fair_timeout import fair_timeout


async def test_it_ends_what_takes_too_long() -> None:
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        async with fair_timeout(0.02):
            await asyncio.sleep(10)
    assert time.perf_counter() - started < 1


async def test_without_a_limit_it_ends_nothing() -> None:
    async with fair_timeout(None):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_without_any_time_nothing_is_waited_for(seconds: float) -> None:
    with pytest.raises(TimeoutError):
        async with fair_timeout(seconds):
            await asyncio.sleep(10)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    writer.close()


async def test_an_answer_that_came_while_the_process_stood_still_counts() -> None:
    """asyncio.timeout drops it: its timer runs before what has come is read."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    async with fair_timeout(0.05):
        writer.write(b"here\n")
        asyncio.get_running_loop().call_soon(time.sleep, 0.1)
        assert await reader.readline() == b"here\n"
    writer.close()
    server.close()


async def stalled() -> None:
    async with fair_timeout(0.02):
        time.sleep(0.1)  # noqa: ASYNC251
        await asyncio.sleep(10)


async def test_the_moment_is_short() -> None:
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        await stalled()
    assert time.perf_counter() - started < 1


async def test_nothing_is_left_behind() -> None:
    """A timer that outlives its block would end a scope that is over, which the loop is told."""
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with fair_timeout(0.01):
        pass
    await asyncio.sleep(0.03)
    assert told == []
