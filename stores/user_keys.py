"""All that the online store holds of one user, key by key: to look at it, and to see it gone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.redis_keys import (
    CONTEXT,
    EMBEDDING,
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    INTERACTIONS,
    SESSION,
    TRACES,
    USER_AGGREGATES,
    USER_FEATURES,
    USER_SESSION,
    RedisKey,
)
from stores.errors import MISREAD
from stores.redis_server import RedisReader

# Not among them is the time at which a user was forgotten, which keeps late writers out.
OF_USER = (
    CONTEXT,
    INTERACTIONS,
    EMBEDDING,
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    USER_FEATURES,
    USER_AGGREGATES,
    USER_SESSION,
    TRACES,
)
READS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "string": ("GET", ()),
    "hash": ("HGETALL", ()),
    "sorted set": ("ZREVRANGE", (0, -1, "WITHSCORES")),
    "list": ("LRANGE", (0, -1)),
}


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A key that is there, and its value as the client gives it."""

    name: str
    family: RedisKey
    ttl_s: int
    value: Any


class UserKeys(RedisReader):
    """Reads what is stored of users, each call within its time or `StoreUnavailable`."""

    CONNECTIONS = 4

    async def read(self, user_id: str, *, visits: Sequence[str] = ()) -> list[StoredKey]:
        """Read each key of a user, also of visits known from before; those that are there."""
        found = await self._read([(family, family.of(user_id)) for family in OF_USER])
        all_visits = dict.fromkeys([*visits, *_visits(found)])
        return found + await self._read([(SESSION, SESSION.of(visit)) for visit in all_visits])

    async def visits(self, user_id: str) -> list[str]:
        """Which visit a user is in, if any."""
        return _visits(await self._read([(CONTEXT, CONTEXT.of(user_id))]))

    async def consent(self, user_id: str) -> bool | None:
        """Whether a user lets us personalize; None where nothing is known of them."""
        for key in await self._read([(CONTEXT, CONTEXT.of(user_id))]):
            return bool(json.loads(key.value)["metadata"]["personalization_consent"])
        return None

    async def _read(self, keys: Sequence[tuple[RedisKey, str]]) -> list[StoredKey]:
        if not keys:
            return []
        async with self._asking() as pipeline:
            for family, name in keys:
                command, arguments = READS[family.kind]
                pipeline.execute_command(command, name, *arguments)
                pipeline.ttl(name)
            told = await pipeline.execute()
        return [
            StoredKey(name=name, family=family, ttl_s=ttl_s, value=value)
            for (family, name), value, ttl_s in zip(keys, told[::2], told[1::2], strict=True)
            if value
        ]


def _visits(found: Sequence[StoredKey]) -> list[str]:
    return [visit for key in found if key.family is CONTEXT if (visit := _visit(key.value))]


def _visit(context: bytes) -> str | None:
    """The visit that a context names; one that can't be read names none."""
    try:
        named = json.loads(context)["session_id"]
    except MISREAD:
        return None
    return named if isinstance(named, str) else None
