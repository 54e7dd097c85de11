import asyncio

import pytest

from serving.bandit.rewards import turns_of
from serving.bandit.turns import Turns


async def test_who_comes_later_waits_until_a_turn_is_given_back() -> None:
    turns = Turns(1)
    await turns.take("a")
    await turns.take("b")
    later = asyncio.create_task(turns.take("a"))
    await asyncio.sleep(0)
    assert not later.done()
    turns.give_back("a")
    await later


async def test_what_nobody_is_busy_with_takes_no_room() -> None:
    turns = Turns(1)
    await turns.take("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await turns.take("a")
    assert len(turns) == 1
    turns.give_back("a")
    assert len(turns) == 0


@pytest.mark.parametrize(("dedup_ids", "at_once"), [(32, 8), (4, 1), (0, 1)])
async def test_a_quarter_of_what_the_job_remembers_may_be_under_way(
    dedup_ids: int, at_once: int
) -> None:
    turns = turns_of(dedup_ids)
    for _ in range(at_once):
        await turns.take("a")
    one_more = asyncio.create_task(turns.take("a"))
    await asyncio.sleep(0)
    assert not one_more.done()
    one_more.cancel()
