import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from stores.round_trips import AT_ONCE, MOST, Command, RoundTrips


class Server:
    """Answers a command with itself, when it is let."""

    def __init__(self) -> None:
        self.trips: list[int] = []
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, commands: Sequence[Command]) -> Sequence[Any]:
        self.trips.append(len(commands))
        await self.open.wait()
        return [ValueError(name) if name == "wrong" else name for (name, *_) in commands]


async def under_way(trips: RoundTrips) -> list[asyncio.Task[Sequence[Any]]]:
    """As many as there are at a time; what is asked now waits."""
    first = []
    for number in range(AT_ONCE):
        first.append(asyncio.create_task(trips.answers([(str(number),)])))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return first


async def test_who_asks_alone_is_answered_at_once() -> None:
    server = Server()
    trips = RoundTrips(server.ask)
    assert await trips.answers([("a",), ("b",)]) == ["a", "b"]
    assert await trips.answers([("c",)]) == ["c"]
    assert server.trips == [2, 1]


async def test_what_is_asked_meanwhile_goes_together_and_each_gets_their_own() -> None:
    server = Server()
    trips = RoundTrips(server.ask)
    server.open.clear()
    first = await under_way(trips)
    others = [asyncio.create_task(trips.answers([(f"{n}",), (f"{n}'",)])) for n in range(3)]
    await asyncio.sleep(0)
    server.open.set()
    assert await asyncio.gather(*first) == [["0"], ["1"]]
    assert await asyncio.gather(*others) == [[f"{n}", f"{n}'"] for n in range(3)]
    assert server.trips == [1, 1, 6]


async def test_an_error_is_of_the_one_who_asked_for_it() -> None:
    trips = RoundTrips(Server().ask)
    both = [asyncio.create_task(trips.answers([(name,)])) for name in ("well", "wrong")]
    assert await both[0] == ["well"]
    with pytest.raises(ValueError, match="wrong"):
        await both[1]


async def test_a_server_that_is_away_tells_all_and_is_asked_again() -> None:
    away = True

    async def ask(commands: Sequence[Command]) -> Sequence[Any]:
        if away:
            raise ConnectionError("away")
        return commands

    trips = RoundTrips(ask)
    found = await asyncio.gather(
        *(trips.answers([("x",)]) for _ in range(3)), return_exceptions=True
    )
    assert [str(one) for one in found] == ["away"] * 3
    away = False
    assert await trips.answers([("x",)]) == [("x",)]


async def test_who_gives_up_leaves_the_others_their_answers() -> None:
    server = Server()
    trips = RoundTrips(server.ask)
    server.open.clear()
    first = await under_way(trips)
    gone, stays = (asyncio.create_task(trips.answers([(name,)])) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    server.open.set()
    assert await asyncio.gather(*first) == [["0"], ["1"]]
    assert await stays == ["stays"]
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert server.trips == [1, 1, 1]


async def test_a_trip_is_not_longer_than_it_may_be() -> None:
    server = Server()
    trips = RoundTrips(server.ask)
    found = await asyncio.gather(*(trips.answers([(str(n),)]) for n in range(MOST + 5)))
    assert found == [[str(n)] for n in range(MOST + 5)]
    assert server.trips == [MOST, 5]


async def test_whoever_asks_as_a_trip_ends_is_answered() -> None:
    trips = RoundTrips(Server().ask)

    async def again() -> Sequence[Any]:
        await trips.answers([("a",)])
        return await trips.answers([("b",)])

    async with asyncio.timeout(5):
        assert await asyncio.gather(*(again() for _ in range(50))) == [["b"]] * 50
