"""Work beside the service that fails."""

import asyncio

from serving.background import beside
from serving.metrics import Metrics
from tests.serving.pretended import count_of


class Follower:
    """Fails at first."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = False
        self.lasting = asyncio.Event()

    async def run(self) -> None:
        self.begun += 1
        if self.begun < 3:
            raise ZeroDivisionError
        self.lasting.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            self.ended = True


async def test_work_that_fails_is_told_counted_and_begun_again() -> None:
    follower, metrics = Follower(), Metrics()
    async with beside(follower.run, metrics=metrics, again_after_s=0.01):
        async with asyncio.timeout(10):
            await follower.lasting.wait()
    assert (follower.begun, follower.ended) == (3, True)
    assert count_of(metrics, "freshet_background_faults_total", work="Follower") == 2
