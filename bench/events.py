"""Events to measure with: made up, the same for the same arguments, encoded before sending."""

import random
from collections.abc import Iterable, Iterator

import numpy as np
import redis

from domain.embedding import Vector
from schemas.codec import encode
from schemas.collections import USER_DIM
from schemas.redis_keys import ITEM
from schemas.topics import USER_EVENTS
from schemas.types import EventType, UserEvent
from stores.event_log import EventLog

KINDS: tuple[EventType, ...] = ("view", "click", "add_to_cart", "purchase", "dismiss", "search")
SHARES = (70, 18, 5, 3, 2, 2)
BATCH = 5_000

Message = tuple[bytes, bytes]


def events(
    count: int, *, users: int, items: int, last_ms: int, in_turn: bool = False, first: int = 0
) -> Iterator[Message]:
    """Events of users drawn alike or in turn, a millisecond apart, the last at `last_ms`.

    They are numbered from `first` on; who asks twice begins where the last ones ended.
    """
    rng = random.Random(7 + first)
    for number in range(first, first + count):
        yield event(
            f"{number:032x}",
            user_id=f"user-{number % users if in_turn else rng.randrange(users)}",
            items=items,
            timestamp_ms=last_ms - (first + count - number),
            rng=rng,
        )


def event(
    event_id: str, *, user_id: str, items: int, timestamp_ms: int, rng: random.Random
) -> Message:
    """One event, as the log takes it."""
    kind = rng.choices(KINDS, SHARES)[0]
    made = UserEvent(
        event_id=event_id,
        user_id=user_id,
        event_type=kind,
        timestamp_ms=timestamp_ms,
        item_id=None if kind == "search" else f"item-{rng.randrange(items)}",
        session_id=f"session-{user_id}",
        device_type="mobile",
        page_type="home",
        country="DE",
        position=rng.randrange(1, 20),
    )
    return user_id.encode(), encode(made)


def item_vectors(items: int) -> dict[str, Vector]:
    """A unit vector for each item."""
    rng = np.random.default_rng(7)
    drawn = rng.standard_normal((items, USER_DIM)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return {f"item-{number}": drawn[number] for number in range(items)}


def store_items(redis_url: str, vectors: dict[str, Vector]) -> None:
    """Put the vectors where the jobs read them."""
    client = redis.Redis.from_url(redis_url)
    for item_id, vector in vectors.items():
        client.hset(ITEM.of(item_id), mapping={"vector": vector.tobytes()})
    client.close()


def produce(bootstrap: str, messages: Iterable[Message]) -> int:
    """Send messages as fast as the log takes them; answers how many."""
    sent = 0
    with EventLog(bootstrap, linger_ms=20, deadline_s=60) as log:
        for sent, (key, value) in enumerate(messages, start=1):
            log.send_raw(USER_EVENTS, key, value)
            if sent % BATCH == 0:
                log.flush()
        log.flush()
    return sent
