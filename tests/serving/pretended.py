"""Servers that answer as they are told, and a small shop, to try serving without a stack."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from domain.fusion import lift
from domain.ranking_prior import prior_network
from schemas.topics import Topic
from schemas.types import Interaction, ItemEvent, Record
from serving.assembly import assemble
from serving.breaker import Breaker
from serving.catalog import Catalog
from serving.chat import ChatEndpoint
from serving.clients import Clients
from serving.deadline import Deadline
from serving.known_user import described
from serving.limits import LocalCounting
from serving.metrics import Metrics
from serving.ranker import Ranking
from serving.requests import PersonalizeRequest
from serving.service import Service
from serving.stages.admit import Admitted, admit
from serving.user_direction import UserDirection
from serving.user_tower import Direction
from settings import Settings
from stores.errors import LogUnavailable, StoreUnavailable
from stores.feedback_memory import Deed, Remembered
from stores.neighbors import NeighborsView
from stores.posteriors import PosteriorView
from stores.rate_limits import Claim, Counted
from stores.traces import KeptAnswer
from stores.vectors import EVERYTHING, ItemFilter
from stores.views import ItemView, UserView

Floats = NDArray[np.float32]

DIM = 512
# Without a log feedback is refused, and no file is made.
KEEPS_NOTHING = Settings.model_validate({"serving": {"kept_feedback": 0}})
NOW_MS = 1_800_000_000_000


def axis(*places: int) -> Floats:
    """A unit vector along some axes."""
    vector = np.zeros(DIM, np.float32)
    vector[list(places)] = 1 / np.sqrt(len(places))
    return vector


def item(item_id: str, *, vector: Floats | None = None, events: int = 0, **entry: Any) -> ItemView:
    """An item as the online store tells of it."""
    entry = {"title": f"Item {item_id}", "price": 5.0, **entry}
    return ItemView(
        item_id=item_id,
        changed_at_ms=1,
        version=1,
        catalog=ItemEvent(item_id=item_id, updated_at_ms=1, **entry),
        vector=vector,
        total_events=events,
    )


def shop() -> list[ItemView]:
    """Three mugs near axis 0, three lamps near axis 1; mug-0 the most popular, mug-2 the newest."""
    return [
        item(
            f"{kind}-{number}",
            vector=axis(*({place} | {2 + number} if number else {place})),
            events=100 - 10 * number - place,
            category_id=f"{kind}s",
            created_at_ms=NOW_MS - (2 - number) * 86_400_000 - place,
        )
        for place, kind in enumerate(("mug", "lamp"))
        for number in range(3)
    ]


def filled(items: Sequence[ItemView] = ()) -> Catalog:
    """A catalogue of some items, the shop's by default."""
    catalog = Catalog()
    catalog.apply(items or shop(), now_ms=NOW_MS)
    catalog.set_trending([("lamp-0", 10.0), ("mug-1", 9.0)])
    return catalog


def interaction(item_id: str, action: str = "click", *, at_ms: int = NOW_MS) -> Interaction:
    """One of a user's recent interactions."""
    return Interaction(
        event_id=f"e-{item_id}", event_type=action, timestamp_ms=at_ms, item_id=item_id
    )


def known_user(**fields: Any) -> UserView:
    """A user who likes mugs."""
    return UserView(
        **{
            "user_id": "u1",
            "version": 7,
            "timestamp_ms": NOW_MS,
            "total_interactions": 7,
            "embedding": axis(0),
            "embedding_version": 5,
            "recent": (interaction("mug-0"),),
            **fields,
        }
    )


def posterior(alpha: float, beta: float, **fields: Any) -> PosteriorView:
    """What rewards taught of an item."""
    return PosteriorView(
        **{
            "version": 3,
            "log_time_ms": NOW_MS,
            "timestamp_ms": NOW_MS,
            "alpha": alpha,
            "beta": beta,
            "prior_alpha": 1.0,
            "prior_beta": 1.0,
            **fields,
        }
    )


def admitted(request: dict[str, Any] | None = None, *, total_s: float = 0.5) -> Admitted:
    """A request on its way."""
    return admit(
        PersonalizeRequest.model_validate({"user_id": "u1", **(request or {})}),
        request_id="r1",
        now_ms=NOW_MS,
        deadline=Deadline(total_s),
    )


def breaker(name: str, metrics: Metrics | None = None) -> Breaker:
    """A breaker whose probe succeeds."""

    async def probe() -> None:
        return None

    return Breaker(name, probe=probe, metrics=metrics or Metrics())


@dataclass
class PretendedServer:
    """What all have in common: they may be away, slow, and they count calls.

    The first `late` calls get no answer.
    """

    away: bool = False
    delay_s: float = 0.0
    calls: int = 0
    late: int = 0

    async def _answer(self, name: str) -> None:
        self.calls += 1
        await asyncio.sleep(3_600 if self.calls <= self.late else self.delay_s)
        if self.away:
            raise StoreUnavailable(name, "it is away")


@dataclass
class PretendedOnline(PretendedServer):
    """The online store."""

    users: dict[str, UserView] = field(default_factory=dict)
    items: list[ItemView] = field(default_factory=list)
    heaviest: list[tuple[str, float]] = field(default_factory=list)

    async def user(self, user_id: str, *, recent: int) -> UserView:
        await self._answer("Redis")
        view = self.users.get(user_id, UserView(user_id=user_id))
        return replace(view, recent=view.recent[:recent])

    async def user_stamp(self, user_id: str) -> bytes:
        await self._answer("Redis")
        return self.users.get(user_id, UserView(user_id=user_id)).stamp

    async def trending(self, n: int) -> list[tuple[str, float]]:
        await self._answer("Redis")
        return self.heaviest[:n]

    async def items_changed_since(self, since_ms: int, *, limit: int) -> list[ItemView]:
        await self._answer("Redis")
        return [one for one in self.items if one.changed_at_ms > since_ms][:limit]

    async def ping(self) -> None:
        await self._answer("Redis")


@dataclass
class PretendedVectors(PretendedServer):
    """The vector store: exact, over the shop."""

    items: list[ItemView] = field(default_factory=shop)
    filters: list[ItemFilter] = field(default_factory=list)

    async def search_items_each(
        self,
        vectors: Sequence[Floats],
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[list[tuple[str, float]]]:
        self.filters.append(filter)
        await self._answer("Milvus")
        return [self._nearest(vector, k) for vector in vectors]

    async def search_items(
        self,
        vector: Floats,
        k: int,
        *,
        filter: ItemFilter = EVERYTHING,  # noqa: A002
    ) -> list[tuple[str, float]]:
        (found,) = await self.search_items_each([vector], k, filter=filter)
        return found

    def _nearest(self, vector: Floats, k: int) -> list[tuple[str, float]]:
        found = [
            (one.item_id, float(lift(one.vector) @ vector))
            for one in self.items
            if one.vector is not None
        ]
        return sorted(found, key=lambda hit: -hit[1])[:k]


@dataclass
class PretendedNeighbors(PretendedServer):
    """What is met beside an item, with its share."""

    beside: dict[str, dict[str, float]] = field(default_factory=dict)
    asked: list[Sequence[str]] = field(default_factory=list)

    async def of(self, item_ids: Sequence[str]) -> list[NeighborsView | None]:
        self.asked.append(item_ids)
        await self._answer("Redis")
        return [self._view(self.beside.get(item_id)) for item_id in item_ids]

    @staticmethod
    def _view(beside: dict[str, float] | None) -> NeighborsView | None:
        if beside is None:
            return None
        return NeighborsView(version=1, timestamp_ms=NOW_MS, scored=tuple(beside.items()))


@dataclass
class PretendedPosteriors(PretendedServer):
    """What rewards taught, by item and segment; or by item, in any segment."""

    learned: dict[tuple[str, str], PosteriorView] = field(default_factory=dict)
    known: dict[str, PosteriorView] = field(default_factory=dict)
    asked: list[tuple[tuple[str, ...], str]] = field(default_factory=list)

    async def many(self, item_ids: Sequence[str], segment: str) -> list[PosteriorView | None]:
        self.asked.append((tuple(item_ids), segment))
        await self._answer("Redis")
        return [
            self.learned.get((item_id, segment), self.known.get(item_id)) for item_id in item_ids
        ]


@dataclass
class PretendedRanker(PretendedServer):
    """The model server: the prior under another name."""

    asked: list[Floats] = field(default_factory=list)
    version: str = "ranker:1"

    async def rank(self, features: Floats) -> Ranking:
        self.asked.append(features)
        await self._answer("Triton")
        return Ranking(scores=prior_network().score(features), model_version=self.version)

    async def probe(self) -> None:
        await self._answer("Triton")


@dataclass
class PretendedTower(PretendedServer):
    """The user tower: everybody is headed for lamps."""

    asked: list[Floats] = field(default_factory=list)

    async def direction(self, told: Floats) -> Direction:
        self.asked.append(told)
        await self._answer("Triton")
        return Direction(axis(1), "user_tower:1")

    async def probe(self) -> None:
        await self._answer("Triton")


def user_direction(
    catalog: Catalog,
    tower: PretendedTower | None = None,
    *,
    space: str = "",
    metrics: Metrics | None = None,
    timeout_s: float = 0.05,
    clock: Callable[[], float] = time.monotonic,
) -> UserDirection:
    """What asks a tower, where the catalogue is of its space; nowhere by default."""
    return UserDirection(
        tower or PretendedTower(),
        breaker=breaker("user_tower"),
        catalog=catalog,
        metrics=metrics or Metrics(),
        timeout_s=timeout_s,
        space=space,
        clock=clock,
    )


@dataclass
class PretendedLog:
    """The event log."""

    away: bool = False
    delay_s: float = 0.0
    taken: list[tuple[str, str, Record]] = field(default_factory=list)

    async def append(self, topic: Topic, key: str, record: Record) -> None:
        await asyncio.sleep(self.delay_s)
        if self.away:
            raise LogUnavailable("it is away")
        self.taken.append((topic.name, key, record))

    async def append_each(
        self, topic: Topic, records: Sequence[tuple[str, Record]]
    ) -> list[object]:
        return await asyncio.gather(
            *(self.append(topic, *one) for one in records), return_exceptions=True
        )

    async def probe(self, _topic: Topic) -> None:
        await asyncio.sleep(self.delay_s)
        if self.away:
            raise LogUnavailable("it is away")

    def records(self) -> list[Any]:
        """What was taken."""
        return [record for _, _, record in self.taken]


@dataclass
class PretendedMemory(PretendedServer):
    """Remembers accepted feedback."""

    deeds: dict[Deed, str] = field(default_factory=dict)
    answers: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def recall(
        self, deeds: Sequence[Deed], *, user_id: str, idempotency_key: str | None
    ) -> Remembered:
        await self._answer("Redis")
        return Remembered(
            answer=self.answers.get((user_id, idempotency_key or "")),
            requests=tuple(self.deeds.get(deed) for deed in deeds),
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
        await self._answer("Redis")
        self.deeds.update(dict.fromkeys(deeds, request_id))
        if idempotency_key:
            self.answers[user_id, idempotency_key] = answer


@dataclass
class PretendedLimits(PretendedServer):
    """Counts as Redis does, at a time that stands still."""

    local: LocalCounting = field(default_factory=lambda: LocalCounting(now_ms=lambda: NOW_MS))

    async def take(self, claim: Claim) -> Counted:
        await self._answer("Redis")
        return self.local.take(claim)


@dataclass
class PretendedTraces(PretendedServer):
    """Keeps what answers were made of, as Redis does; nothing gets lost by age."""

    answers: dict[str, KeptAnswer] = field(default_factory=dict)
    rankings: dict[str, bytes] = field(default_factory=dict)

    async def write(
        self, kept: Sequence[KeptAnswer], *, lifetime_s: int, ranking_s: int
    ) -> list[bool]:
        assert lifetime_s < ranking_s
        await self._answer("Redis")
        for one in kept:
            self.answers[one.request_id] = one
            if one.ranking:
                self.rankings[one.ranking_key] = one.ranking
        return [True] * len(kept)

    async def answer(self, request_id: str) -> bytes | None:
        await self._answer("Redis")
        kept = self.answers.get(request_id)
        return kept.answer if kept else None

    async def ranking(self, key: str) -> bytes | None:
        await self._answer("Redis")
        return self.rankings.get(key)

    async def answers_of(self, user_id: str) -> list[bytes]:
        await self._answer("Redis")
        of_user = [one for one in self.answers.values() if one.user_id == user_id]
        return [one.answer for one in reversed(of_user)]


@dataclass
class PretendedLookup:
    """Says of every user that nothing is known."""

    away: bool = False

    async def known(self, user_id: str, *, now_ms: int) -> dict[str, Any]:
        if self.away:
            raise StoreUnavailable("Redis", "it is away")
        return described(user_id, [], now_ms=now_ms) | {"milvus": {"away": "it is away"}}


@dataclass
class Outside:
    """All the servers, and the service that uses them."""

    online: PretendedOnline = field(default_factory=PretendedOnline)
    vectors: PretendedVectors = field(default_factory=PretendedVectors)
    neighbors: PretendedNeighbors = field(default_factory=PretendedNeighbors)
    posteriors: PretendedPosteriors = field(default_factory=PretendedPosteriors)
    ranker: PretendedRanker = field(default_factory=PretendedRanker)
    tower: PretendedTower = field(default_factory=PretendedTower)
    event_log: PretendedLog = field(default_factory=PretendedLog)
    memory: PretendedMemory = field(default_factory=PretendedMemory)
    lookup: PretendedLookup = field(default_factory=PretendedLookup)
    limits: PretendedLimits = field(default_factory=PretendedLimits)
    traces: PretendedTraces = field(default_factory=PretendedTraces)
    metrics: Metrics = field(default_factory=Metrics)
    settings: Settings = KEEPS_NOTHING
    chat: ChatEndpoint | None = None

    def service(self, items: Sequence[ItemView] | None = None) -> Service:
        """The service as it is assembled, with a filled catalogue."""
        service = assemble(self.clients(), self.settings, self.metrics)
        service.catalog.apply(shop() if items is None else items, now_ms=NOW_MS)
        service.catalog.set_trending([("lamp-0", 10.0), ("mug-1", 9.0)])
        return service

    def clients(self) -> Clients:
        """What the service uses the servers by."""
        return Clients(
            online=cast("Any", self.online),
            catalog=cast("Any", self.online),
            neighbors=cast("Any", self.neighbors),
            posteriors=cast("Any", self.posteriors),
            memory=cast("Any", self.memory),
            vectors=cast("Any", self.vectors),
            lookup=cast("Any", self.lookup),
            limits=cast("Any", self.limits),
            traces=cast("Any", self.traces),
            ranker=cast("Any", self.ranker),
            tower=cast("Any", self.tower),
            event_log=cast("Any", self.event_log),
            chat=self.chat,
        )


def count_of(metrics: Metrics, name: str, **labels: str) -> float:
    """A value on the metrics page; 0 where it isn't there yet."""
    return metrics.registry.get_sample_value(name, labels) or 0.0
