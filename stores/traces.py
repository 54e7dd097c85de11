"""What answers were made of, kept for as long as they may be explained: as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from schemas.redis_keys import ITEM, TRACE_ANSWER, TRACE_RANKING, TRACES
from stores.redis_server import RedisReader
from stores.users import erased_key
from stores.views import Vector, vector_of

SOURCE = (Path(__file__).parent / "lua" / "trace.lua").read_text("utf-8")
# The server's name for the script; no secret hangs on it.
DIGEST = sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()
ANSWERS = TRACE_ANSWER.of("")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What is written of an answer; `ranking` is empty where it was written before.

    `state_ms` is the log time of the user's state, or the request's where nothing was known: what
    is not newer than the user's being forgotten is not written. A ranking that isn't `own` is made
    of nobody's data, and stays when the user goes.
    """

    request_id: str
    user_id: str
    at_ms: int
    state_ms: int
    answer: bytes
    ranking_key: str
    ranking: bytes = b""
    own: bool = True


class TraceStore(RedisReader):
    """Writes and reads traces, each call within its time or `StoreUnavailable`."""

    CONNECTIONS = 4

    async def write(
        self, kept: Sequence[KeptAnswer], *, lifetime_s: int, ranking_s: int
    ) -> list[bool]:
        """Write traces in one round trip; tell of each whether it was, or its user forgotten."""
        commands = [(4, *_keys(one), *_arguments(one, lifetime_s, ranking_s)) for one in kept]
        async with self._asking() as pipeline:
            # One that isn't there yet is refused by the server as a whole.
            for command in commands:
                pipeline.evalsha(DIGEST, *command)
            try:
                told = await pipeline.execute()
            except NoScriptError:
                for command in commands:
                    pipeline.eval(SOURCE, *command)
                told = await pipeline.execute()
        return [bool(one) for one in told]

    async def answer(self, request_id: str) -> bytes | None:
        """The trace of an answer."""
        return await self._get(TRACE_ANSWER.of(request_id))

    async def ranking(self, key: str) -> bytes | None:
        """The trace of a ranking."""
        return await self._get(TRACE_RANKING.of(key))

    async def answers_of(self, user_id: str) -> list[bytes]:
        """The traces of a user's answers, the latest first."""
        async with self._asking() as pipeline:
            pipeline.zrevrange(TRACES.of(user_id), 0, -1)
            (members,) = await pipeline.execute()
            names = [name for name in members if name.decode().startswith(ANSWERS)]
            if not names:
                return []
            pipeline.mget(names)
            (found,) = await pipeline.execute()
        return [one for one in found if one is not None]

    async def vectors(self, item_ids: Sequence[str]) -> dict[str, Vector]:
        """The vectors that items have now; those that have one."""
        async with self._asking() as pipeline:
            for item_id in item_ids:
                pipeline.hget(ITEM.of(item_id), "vector")
            stored = await pipeline.execute()
        found = {one: vector_of(raw, one) for one, raw in zip(item_ids, stored, strict=True)}
        return {one: vector for one, vector in found.items() if vector is not None}

    async def _get(self, name: str) -> bytes | None:
        async with self._asking() as pipeline:
            pipeline.get(name)
            (found,) = await pipeline.execute()
        return found if found is None else bytes(found)


def _keys(one: KeptAnswer) -> tuple[str, ...]:
    return (
        TRACE_ANSWER.of(one.request_id),
        TRACE_RANKING.of(one.ranking_key),
        TRACES.of(one.user_id),
        erased_key(one.user_id),
    )


def _arguments(one: KeptAnswer, lifetime_s: int, ranking_s: int) -> tuple[Any, ...]:
    return (
        *(one.at_ms, one.state_ms, one.answer, one.ranking, int(one.own)),
        *(lifetime_s, ranking_s, TRACES.max_size),
    )
