"""An item from its message to a search, and a visit to its neighbours, through jobs and writers."""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import numpy as np
import pytest

from domain.fusion import fuse
from schemas.topics import ITEMS, USER_EVENTS
from schemas.types import ItemEvent, UserEvent
from stack.local import LocalStack
from stores.event_log import EventLog
from stores.neighbors import NeighborsReader, NeighborsView
from stores.vectors import VectorReader, ensure_collections
from tests.e2e.streams import now_ms, start_jobs
from tests.stores.records import unit

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0


async def waited_s(happened: Callable[[], object]) -> float:
    """How long until it is so; `happened` is a coroutine function."""
    began = time.perf_counter()
    while not await happened():  # type: ignore[misc]
        assert time.perf_counter() - began < LIMIT_S, "it never was"
        await asyncio.sleep(0.02)
    return time.perf_counter() - began


def item(item_id: str, seed: int) -> ItemEvent:
    text, image = unit(seed), unit(seed + 1, dim=1024)
    return ItemEvent(
        item_id=item_id,
        updated_at_ms=now_ms(),
        title=f"Item {item_id}",
        text_embedding=text.tobytes(),
        image_embedding=image.tobytes(),
    )


async def test_a_new_item_is_found_and_a_deleted_one_no_longer(
    stack: LocalStack,
) -> None:
    start_jobs(stack)
    stack.up("writers")
    ensure_collections(stack.settings.milvus.uri)
    name = uuid4().hex[:8]
    took_s: list[float] = []
    with EventLog(stack.settings.kafka.bootstrap) as log:
        async with VectorReader(stack.settings.milvus.uri, timeout_ms=5_000) as reader:
            for number in range(8):
                item_id, event = f"{name}-{number}", item(f"{name}-{number}", 100 * number + 7)
                vector = fuse(
                    {
                        "text": np.frombuffer(event.text_embedding or b"", "<f4"),
                        "image": np.frombuffer(event.image_embedding or b"", "<f4"),
                    }
                )

                async def found(wanted: str = item_id, near: np.ndarray = vector) -> bool:  # type: ignore[type-arg]
                    nearest = await reader.search_items(near, 1)
                    return bool(nearest) and nearest[0][0] == wanted

                log.send(ITEMS, item_id, event)
                log.flush()
                took_s.append(await waited_s(found))
            gone = ItemEvent(item_id=item_id, operation="delete", updated_at_ms=now_ms())
            log.send(ITEMS, item_id, gone)
            log.flush()

            async def lost() -> bool:
                return not await found()

            await waited_s(lost)
    # The first waits for the job's start too.
    print(f"item event to search: {[round(1_000 * one) for one in took_s]} ms")


async def test_items_of_a_visit_become_neighbours_in_redis(stack: LocalStack) -> None:
    start_jobs(stack)
    stack.up("writers")
    name = uuid4().hex[:8]
    cup, saucer = f"{name}-cup", f"{name}-saucer"
    with EventLog(stack.settings.kafka.bootstrap) as log:
        for number, item_id in enumerate((cup, saucer)):
            event = UserEvent(
                event_id=f"{name}-{number}",
                user_id=f"{name}-user",
                event_type="click",
                timestamp_ms=now_ms(),
                item_id=item_id,
            )
            log.send(USER_EVENTS, event.user_id, event)
        log.flush()
    views: list[NeighborsView | None] = []
    async with NeighborsReader(stack.settings.redis.url, timeout_ms=2_000) as reader:

        async def met() -> bool:
            views[:] = await reader.of([cup, saucer])
            return None not in views

        print(f"visit to neighbours in Redis: {1_000 * await waited_s(met):.0f} ms")
    assert [view.scored[0][0] for view in views if view is not None] == [saucer, cup]
