"""The online store: Redis, or any server that speaks its protocol."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import redis
from redis import exceptions as failures

from schemas.redis_keys import (
    CONTEXT,
    DAY_S,
    EMBEDDING,
    EMBEDDING_DAY,
    EMBEDDING_SESSION,
    INTERACTIONS,
    ITEM,
    ITEM_FEATURES,
    ITEMS_CHANGED,
    TRENDING,
)
from schemas.types import (
    EmbeddingUpdate,
    ItemPopularity,
    ItemSnapshot,
    UserSnapshot,
)
from stores.errors import read_from
from stores.newest import newest
from stores.redis_server import STORE, RedisReader, translated
from stores.users import Describe, embedding_calls, say_nothing, user_calls
from stores.views import (
    CATALOG_PART,
    CONTEXT_HEAD,
    POPULARITY_PART,
    VERSION,
    ItemPart,
    ItemView,
    UserView,
    catalog_fields,
    item_view,
    popularity_fields,
    stamp_of,
    user_view,
)

LUA = Path(__file__).with_name("lua")
# A deleted item is remembered for as long as a writer may be late with an older version of it.
TOMBSTONE_S = DAY_S
# Readers wait while a transaction is carried out: about 3 ms for so many scripts.
AT_ONCE = 64
USER_VALUES = (CONTEXT, EMBEDDING, EMBEDDING_DAY, EMBEDDING_SESSION)

ItemT = TypeVar("ItemT", ItemSnapshot, ItemPopularity)


class OnlineWriter:
    """Writes what the jobs emit, a round trip for each 64 records.

    Writing again changes nothing, and an older version never replaces a newer one, whoever else
    writes: the comparison is made inside the server. Each method answers how many records were not
    older than what was there. `describe` says what is written of users beside their snapshots.
    """

    def __init__(self, client: "redis.Redis", *, describe: Describe = say_nothing) -> None:
        self._client = client
        self._describe = describe
        self._sources = {path.stem: path.read_text("utf-8") for path in sorted(LUA.glob("*.lua"))}
        self._digests: dict[str, str] = {}

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless the server answers."""
        with translated():
            self._client.ping()

    def write_users(self, users: Sequence[UserSnapshot]) -> int:
        """Write contexts, sessions and features by their latest version, and every interaction."""
        return self.run_script("user", user_calls(users, self._describe))

    def write_embeddings(self, updates: Sequence[EmbeddingUpdate]) -> int:
        """Write the latest vectors of each user, or delete them."""
        return self.run_script("embedding", embedding_calls(updates))

    def write_items(self, items: Sequence[ItemSnapshot]) -> int:
        """Write the latest entry of each item, whether it may trend, and that it changed."""
        return self._write_part(items, CATALOG_PART, catalog_fields)

    def write_popularity(self, moved: Sequence[ItemPopularity]) -> int:
        """Write how popular each item is now, its place in trending, and that it changed."""
        return self._write_part(moved, POPULARITY_PART, popularity_fields)

    def _write_part(
        self, items: Sequence[ItemT], part: ItemPart, fields_of: Callable[[ItemT], dict[str, Any]]
    ) -> int:
        latest = newest(items, attrgetter("item_id"))
        calls = (_item_call(item, part, fields_of(item)) for item in latest.values())
        return self.run_script("item", calls)

    def run_script(self, script: str, calls: Iterable[tuple[list[str], list[Any]]]) -> int:
        """Run a script of `stores/lua/` for each of the calls, loaded first where it must be.

        A call is keys and arguments; each script answers 1 where it wrote.
        """
        with translated():
            digest = self._digests.get(script) or self._load(script)
            commands = [(len(keys), *keys, *arguments) for keys, arguments in calls]
            try:
                return sum(self._pipeline(digest, commands))
            except failures.NoScriptError:
                return sum(self._pipeline(self._load(script), commands))

    def _pipeline(self, digest: str, commands: list[tuple[Any, ...]]) -> list[int]:
        done: list[int] = []
        for first in range(0, len(commands), AT_ONCE):
            # A server that has all on its disk before it answers goes there once a transaction.
            with self._client.pipeline(transaction=True) as pipeline:
                for command in commands[first : first + AT_ONCE]:
                    pipeline.evalsha(digest, *command)
                done += pipeline.execute()
        return done

    def _load(self, script: str) -> str:
        digest = str(self._client.script_load(self._sources[script]))
        self._digests[script] = digest
        return digest


def _item_call(
    item: ItemSnapshot | ItemPopularity, part: ItemPart, fields: dict[str, Any]
) -> tuple[list[str], list[Any]]:
    arguments = [
        *(item.item_id, part.version, part.log_time_ms, item.version, item.log_time_ms),
        *(TOMBSTONE_S, TRENDING.max_size),
        *(len(part.fields), *part.fields),
        *_flat(fields),
    ]
    item_id = item.item_id
    keys = [ITEM.of(item_id), ITEMS_CHANGED.of(), TRENDING.of("all"), ITEM_FEATURES.of(item_id)]
    return keys, arguments


def _flat(fields: dict[str, Any]) -> Iterator[Any]:
    for name, value in fields.items():
        yield name
        yield value


class OnlineReader(RedisReader):
    """Reads for the service, each call within its time or `StoreUnavailable`; creates no keys."""

    CONNECTIONS = 64

    async def ping(self) -> None:
        """Raise `StoreUnavailable` unless the server answers."""
        await self._answers(("PING",))

    async def user(self, user_id: str, *, recent: int = 50) -> UserView:
        """Read all that is known of a user in one round trip; interactions newest first."""
        stored, interactions = await self._answers(
            ("MGET", *(key.of(user_id) for key in USER_VALUES)),
            ("ZREVRANGE", INTERACTIONS.of(user_id), 0, recent - 1, "WITHSCORES"),
        )
        return user_view(
            user_id,
            *stored,
            interactions=_scored(interactions) if recent else [],
        )

    async def user_stamp(self, user_id: str) -> bytes:
        """Read by what a view of the user could be told from an older one."""
        context, embedding = await self._answers(
            ("GETRANGE", CONTEXT.of(user_id), 0, CONTEXT_HEAD - 1),
            ("GETRANGE", EMBEDDING.of(user_id), 0, VERSION.size - 1),
        )
        return stamp_of(context, embedding)

    async def trending(self, n: int, *, segment: str = "all") -> list[tuple[str, float]]:
        """Read the `n` heaviest items with their weights, heaviest first."""
        (found,) = await self._answers(("ZREVRANGE", TRENDING.of(segment), 0, n - 1, "WITHSCORES"))
        with read_from(STORE):
            return [(item_id.decode(), score) for item_id, score in _scored(found)]

    async def items_changed_since(self, since_ms: int, *, limit: int = 500) -> list[ItemView]:
        """Read items that changed after `since_ms`, in the order of their changes.

        Go on with the `changed_at_ms` of the last. Deleted ones are among them.
        """
        (changed,) = await self._answers(
            (
                *("ZRANGEBYSCORE", ITEMS_CHANGED.of(), f"({since_ms}", "+inf", "WITHSCORES"),
                *("LIMIT", 0, limit),
            )
        )
        with read_from(STORE):
            ids = [(item_id.decode(), int(score)) for item_id, score in _scored(changed)]
        if not ids:
            return []
        stored = await self._answers(*(("HGETALL", ITEM.of(item_id)) for item_id, _ in ids))
        return [item_view(*key, fields) for key, fields in zip(ids, stored, strict=True)]

    async def all_items(self, *, page: int = 500) -> AsyncIterator[list[ItemView]]:
        """Read every item, page by page; what changes meanwhile comes again later."""
        since_ms = 0
        while items := await self.items_changed_since(since_ms, limit=page):
            since_ms = items[-1].changed_at_ms
            yield items


def _scored(flat: Sequence[bytes]) -> list[tuple[bytes, float]]:
    """Pair members with their scores."""
    return [(flat[at], float(flat[at + 1])) for at in range(0, len(flat), 2)]
