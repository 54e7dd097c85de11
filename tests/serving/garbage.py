"""Servers that answer, but with what nobody wrote: the real readers, over a wire of garbage."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np
from kafka.errors import KafkaTimeoutError
from pymilvus.grpc_gen.milvus_pb2 import QueryResults, SearchResults
from redis import exceptions as failures

from schemas.topics import Topic
from schemas.types import Record
from serving.known_user import UserLookup
from serving.ranker import Ranker
from stores.errors import LogUnavailable, StoreRejected
from stores.feedback_memory import FeedbackMemory
from stores.neighbors import NeighborsReader
from stores.online import OnlineReader
from stores.posteriors import PosteriorReader
from stores.rate_limits import RateLimitStore
from stores.redis_server import RedisReader
from stores.user_keys import UserKeys
from stores.user_vectors import UserVectorReader
from stores.views import context_json, interaction_json
from tests.serving.pretended import NOW_MS, Outside, axis, interaction
from tests.stores.records import user_snapshot

TEXTS = (
    *(b"", b"0", b"1", b"-1", b"7", b"nan", b"inf", b"-inf", b"1e400", b"0.5", b"x", b"\xff\xfe"),
    *(b"null", b"[]", b"{}", b"5", b'"x"', b'["mug-0", null, 5]', b'["mug-0"]', b"[" * 3_000),
    *(b'{"a": 1', b'{"item_id": "mug-0"}', b"9" * 5_000, np.array([np.nan], "<f4").tobytes()),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    float("inf"),
    float("nan"),
    10**30,
    "",
    "mug-0",
    [],
    {},
    [{}],
)
NUMBERS = (0.0, -1.0, 0.5, 2.0, 1e38, float("inf"), float("-inf"), float("nan"))
NAMES = ("", "mug-0", "mug-1", "lamp-0", "lamp-0", "nothing", "é\ud7ff", "x" * 400)
FLOATS = tuple(
    np.full(count, number, "<f4").tobytes()
    for count in (1, 2, 64)
    for number in (np.nan, np.inf, -1.0, 1e38)
)
# What is no count in the hashes of posteriors and neighbours.
WRITTEN: dict[str, bytes] = {
    "context_weights": np.full(64, 0.1, "<f4").tobytes(),
    "variances": np.full(64, 0.5, "<f4").tobytes(),
    "neighbors": b'["mug-1", "lamp-0"]',
    "scores": np.full(2, 0.1, "<f4").tobytes(),
}
RAISED = (
    failures.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    failures.ResponseError("LOADING the dataset"),
    failures.BusyLoadingError("loading"),
    failures.ConnectionError("reset"),
    failures.InvalidResponse("what is this"),
    failures.AuthenticationError("who are you"),
    failures.OutOfMemoryError("used memory"),
    ConnectionResetError("reset"),
    TimeoutError(),
)


@dataclass
class Garbage:
    """What the wires of an example carry; the same for the same seed."""

    chance: Random

    def text(self) -> bytes | None:
        """What may lie under a key."""
        made: Callable[[], bytes | None] = self.chance.choice(
            (
                lambda: None,
                lambda: self.chance.choice(TEXTS),
                lambda: self.chance.randbytes(self.chance.choice((1, 8, 40, 500, 2_056))),
                self.context,
                self.vector,
            )
        )
        return made()

    def context(self) -> bytes:
        """A context of which a part is something else."""
        user = user_snapshot("u1", 7)
        return self._spoiled(json.loads(context_json(user)))

    def member(self) -> bytes:
        """An interaction of which a part is something else."""
        return self._spoiled(json.loads(interaction_json(interaction("mug-0"))))

    def _spoiled(self, told: dict[str, Any]) -> bytes:
        inner = [one for one in told.values() if isinstance(one, dict)]
        part = self.chance.choice([told, told, *inner])
        name = self.chance.choice([*part])
        if self.chance.random() < 0.2:
            del part[name]
        elif self.chance.random() < 0.8:
            part[name] = self.chance.choice(VALUES)
        return json.dumps(told).encode()

    def vector(self) -> bytes:
        """A user's vector with a number in it that is none, or another of its length."""
        numbers = axis(0).copy()
        numbers[self.chance.randrange(512)] = self.chance.choice(NUMBERS)
        return (7).to_bytes(8, "little") + numbers.astype("<f4").tobytes()

    def fields(self, names: Sequence[str]) -> list[bytes | None]:
        """A hash as it is written, of which a field is something else, or all are."""
        if self.chance.random() < 0.2:
            return [self.text() for _ in names]
        told: dict[str, bytes | None] = {name: WRITTEN.get(name, b"3") for name in names}
        told[self.chance.choice(names)] = self.chance.choice((*TEXTS, *FLOATS, None))
        return list(told.values())

    def scores(self, count: int) -> list[float]:
        """Numbers that a score may not be."""
        return [self.chance.choice(NUMBERS) for _ in range(count)]

    def some(self, most: int) -> int:
        """A number of answers that nobody asked for."""
        return self.chance.randint(0, most)


class GarbagePipeline:
    """Answers each command with something of the kind that its protocol has."""

    def __init__(self, garbage: Garbage) -> None:
        self._garbage = garbage
        self._asked: list[tuple[str, Sequence[Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def execute_command(self, name: str, *arguments: Any) -> None:
        self._asked.append((name, arguments))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **_: self._asked.append((name.upper(), arguments))

    async def execute(self, *, raise_on_error: bool = True) -> list[Any]:  # noqa: ARG002
        if self._garbage.chance.random() < 0.05:
            raise self._garbage.chance.choice(RAISED)
        asked, self._asked = self._asked, []
        return [self._answer(*command) for command in asked]

    def _answer(self, name: str, arguments: Sequence[Any]) -> Any:
        garbage = self._garbage
        if name == "HMGET":
            named = arguments[-1] if isinstance(arguments[-1], list) else arguments[1:]
            return garbage.fields(named)
        if name == "MGET":
            count = len(arguments[-1]) if isinstance(arguments[-1], list) else len(arguments)
            return [garbage.text() for _ in range(count)]
        if name in {"ZREVRANGE", "LRANGE"}:
            pairs = [(garbage.member(), self._time()) for _ in range(garbage.some(3))]
            return [part for pair in pairs for part in pair]
        if name == "HGETALL":
            return {garbage.text() or b"": garbage.text() or b"" for _ in range(garbage.some(3))}
        if name in {"EVALSHA", "EVAL"}:
            return garbage.chance.choice(
                ([], None, 5, b"", [1], [garbage.text()] * 7, [1, *"345678"])
            )
        if name == "TTL":
            return garbage.chance.choice((-1, 5))
        return garbage.text() if name == "GET" else garbage.text() or b""

    def _time(self) -> bytes:
        return self._garbage.chance.choice((b"inf", b"-5", b"0", b"1e300", str(NOW_MS).encode()))


def over_garbage(reader: RedisReader, garbage: Garbage) -> Any:
    """A reader whose server has lost its mind."""
    reader._client = cast("Any", SimpleNamespace(pipeline=lambda **_: GarbagePipeline(garbage)))
    return reader


def search_results(garbage: Garbage) -> SearchResults:
    """As many hits, scores and counts as it pleases."""
    told = SearchResults()
    names = [garbage.chance.choice(NAMES) for _ in range(garbage.some(4))]
    told.results.ids.str_id.data.extend(name for name in names if name.isprintable())
    same = garbage.chance.random() < 0.7
    count = len(told.results.ids.str_id.data) if same else garbage.some(4)
    told.results.scores.extend(garbage.scores(count))
    told.results.topks.extend(garbage.chance.choice(([], [count], [count, 0], [1, 1], [-1, 5])))
    told.status.code = garbage.chance.choice((0, 0, 0, 5))
    return told


def query_results(garbage: Garbage) -> QueryResults:
    """Columns of other kinds and sizes than were asked for."""
    told = QueryResults()
    for name in ("id", "version", "last_active"):
        column = told.fields_data.add(field_name=name)
        if garbage.chance.random() < 0.5:
            column.scalars.double_data.data.extend(garbage.scores(garbage.some(2)))
    return told


class GarbageVectors(UserVectorReader):
    """A reader whose server has lost its mind."""

    def __init__(self, garbage: Garbage) -> None:
        super().__init__("http://nowhere:1", timeout_ms=100)
        self._garbage = garbage

    async def _call(self, name: str, _request: Any) -> Any:
        made = search_results if name == "Search" else query_results
        return made(self._garbage)


def garbage_ranker(garbage: Garbage) -> Any:
    """Scores of other shapes, sizes and kinds than were asked for."""

    async def infer(_: str, rows: Sequence[Any], **__: Any) -> Any:
        count = rows[0].shape()[0]
        shapes = ((count, 1), (count, 1), (count,), (count + 1, 1), (0, 1), (count, 0), ())
        shape = garbage.chance.choice(shapes)
        kind = garbage.chance.choice((np.float32, np.float32, np.float64, np.int64, np.object_))
        with np.errstate(invalid="ignore"):
            size = int(np.prod(shape))
            numbers = [garbage.chance.choice((0.0, 0.5, 1.0, 7.0)) for _ in range(size)]
        column = np.array(numbers, np.float64).reshape(shape).astype(kind)
        return SimpleNamespace(
            get_response=lambda: SimpleNamespace(model_version="1"),
            as_numpy=lambda _: garbage.chance.choice((column, column, column, None)),
        )

    ranker = Ranker.__new__(Ranker)
    ranker._client = cast("Any", SimpleNamespace(infer=infer))
    return ranker


class GarbageLog:
    """A log that fails in every way that it is allowed to."""

    def __init__(self, garbage: Garbage) -> None:
        self._garbage = garbage

    async def append(self, _topic: Topic, _key: str, _record: Record) -> None:
        ways = (
            None,
            LogUnavailable(KafkaTimeoutError()),
            StoreRejected("Kafka", "odd"),
            TimeoutError(),
        )
        if failure := self._garbage.chance.choice(ways):
            raise failure


def spoil(outside: Outside, seed: int) -> None:
    """Have every server of a service answer garbage."""
    garbage = Garbage(Random(seed))
    url = "redis://nowhere:1"
    vectors = GarbageVectors(garbage)
    outside.online = over_garbage(OnlineReader(url, timeout_ms=100), garbage)
    outside.neighbors = over_garbage(NeighborsReader(url, timeout_ms=100), garbage)
    outside.posteriors = over_garbage(PosteriorReader(url, timeout_ms=100), garbage)
    outside.memory = over_garbage(FeedbackMemory(url, timeout_ms=100), garbage)
    outside.limits = over_garbage(RateLimitStore(url, timeout_ms=100), garbage)
    outside.lookup = cast(
        "Any", UserLookup(over_garbage(UserKeys(url, timeout_ms=100), garbage), vectors)
    )
    outside.vectors = cast("Any", vectors)
    outside.ranker = garbage_ranker(garbage)
    outside.event_log = cast("Any", GarbageLog(garbage))
