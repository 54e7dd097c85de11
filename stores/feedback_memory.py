"""What was already accepted: answers by idempotency key, and deeds of the last minute or day."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from schemas.redis_keys import FEEDBACK_DEDUP, FEEDBACK_IDEMPOTENCY, FEEDBACK_ONCE
from stores.redis_server import RedisReader


@dataclass(frozen=True, slots=True)
class Deed:
    """One action on an item. One with an occasion, such as its minute, counts once a day."""

    user_id: str
    item_id: str
    action: str
    occasion: str = ""

    @property
    def key(self) -> str:
        """Where it is remembered."""
        if self.occasion:
            return FEEDBACK_ONCE.of(self.digest)
        return FEEDBACK_DEDUP.of(self.user_id, self.item_id, self.action)

    @property
    def ttl_s(self) -> int | None:
        """How long it is remembered."""
        return FEEDBACK_ONCE.ttl_s if self.occasion else FEEDBACK_DEDUP.ttl_s

    @property
    def digest(self) -> str:
        """The same for the same deed, told however often.

        >>> Deed("u", "i", "click", "minute:1").digest == Deed("u", "i", "click", "minute:2").digest
        False
        """
        parts = (self.user_id, self.item_id, self.action, self.occasion)
        return sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The answer that a key got before, and the request that each deed was last sent with."""

    answer: bytes | None
    requests: tuple[str | None, ...]


NOTHING = Remembered(answer=None, requests=())


class FeedbackMemory(RedisReader):
    """Reads and writes in one round trip each, within its time or `StoreUnavailable`."""

    async def recall(
        self, deeds: Sequence[Deed], *, user_id: str, idempotency_key: str | None
    ) -> Remembered:
        """What is remembered of some deeds and of a key."""
        keys = [deed.key for deed in deeds]
        async with self._asking() as pipeline:
            pipeline.mget([answer_key(user_id, idempotency_key), *keys])
            (found,) = await pipeline.execute()
        return Remembered(
            answer=found[0] if idempotency_key else None,
            requests=tuple(None if one is None else _text(one) for one in found[1:]),
        )

    async def remember(
        self,
        deeds: Sequence[Deed],
        *,
        user_id: str,
        request_id: str,
        idempotency_key: str | None,
        answer: bytes,
    ) -> None:
        """Keep deeds for their time, and the answer to a key for a day."""
        async with self._asking() as pipeline:
            for deed in deeds:
                pipeline.set(deed.key, request_id, ex=deed.ttl_s)
            if idempotency_key:
                key = answer_key(user_id, idempotency_key)
                pipeline.set(key, answer, ex=FEEDBACK_IDEMPOTENCY.ttl_s)
            await pipeline.execute()


def _text(stored: bytes) -> str:
    """What isn't text is no request's id, so that it equals none."""
    return stored.decode(errors="replace")


def answer_key(user_id: str, idempotency_key: str | None) -> str:
    """Where the answer to a key lies; two users who choose the same key don't meet.

    >>> answer_key("u1", "k") == answer_key("u2", "k")
    False
    """
    digest = sha256(f"{len(user_id)}:{user_id}{idempotency_key}".encode()).hexdigest()
    return FEEDBACK_IDEMPOTENCY.of(digest)
