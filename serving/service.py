"""What answers requests, put together from clients, stages and background work."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from domain.events import EventLimits
from serving.catalog import Catalog
from serving.clients import LOG_DEADLINE_S, Breakers, Clients, breakers_of, opened
from serving.feedback import FeedbackIntake
from serving.follow import CatalogFollower
from serving.impressions import ImpressionLog
from serving.known_user import UserLookup
from serving.limits import Limits, LocalCounting
from serving.metrics import Metrics
from serving.pipeline import Pipeline
from serving.stages.candidates import CandidateStage
from serving.stages.context import ContextStage
from serving.stages.rank import RankStage
from settings import Settings

DAY_MS = 86_400_000
DRAIN_S = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """What the HTTP interface calls."""

    pipeline: Pipeline
    intake: FeedbackIntake
    impressions: ImpressionLog
    catalog: Catalog
    breakers: Breakers
    metrics: Metrics
    lookup: UserLookup
    limits: Limits


@asynccontextmanager
async def running(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """The service with its background work; on the way out the impressions are written."""
    async with opened(settings) as clients:
        service = assemble(clients, settings, metrics)
        follower = CatalogFollower(
            service.catalog,
            clients.catalog,
            metrics=metrics,
            every_s=settings.serving.catalog_refresh_ms / 1000,
            now_ms=wall_clock_ms,
        )
        breakers = service.breakers.all()
        async with _beside(
            follower.run(), service.impressions.run(), *(breaker.run() for breaker in breakers)
        ):
            yield service
            await service.impressions.drain(timeout_s=DRAIN_S)


def assemble(clients: Clients, settings: Settings, metrics: Metrics) -> Service:
    """Wire the stages."""
    breakers, catalog = breakers_of(clients, settings, metrics), Catalog()
    return Service(
        pipeline=_pipeline(clients, settings, breakers, catalog, metrics),
        intake=_intake(clients, settings, breakers, metrics),
        impressions=ImpressionLog(clients.event_log, metrics=metrics),
        catalog=catalog,
        breakers=breakers,
        metrics=metrics,
        lookup=clients.lookup,
        limits=Limits(
            counting=clients.limits,
            local=LocalCounting(now_ms=wall_clock_ms),
            breaker=breakers.redis,
            metrics=metrics,
            settings=settings,
        ),
    )


def _pipeline(
    clients: Clients, settings: Settings, breakers: Breakers, catalog: Catalog, metrics: Metrics
) -> Pipeline:
    return Pipeline(
        catalog=catalog,
        context=ContextStage(
            clients.online,
            breaker=breakers.redis,
            catalog=catalog,
            timeout_s=settings.redis.timeout_ms / 1000,
            recent=settings.serving.recent_interactions,
        ),
        candidates=CandidateStage(
            clients.vectors,
            breaker=breakers.milvus,
            catalog=catalog,
            metrics=metrics,
            timeout_s=settings.milvus.timeout_ms / 1000,
        ),
        rank=RankStage(
            clients.ranker,
            breaker=breakers.triton,
            catalog=catalog,
            timeout_s=settings.triton.timeout_ms / 1000,
        ),
        metrics=metrics,
        deadline_s=settings.serving.deadline_ms / 1000,
        now_ms=wall_clock_ms,
    )


def _intake(
    clients: Clients, settings: Settings, breakers: Breakers, metrics: Metrics
) -> FeedbackIntake:
    events = settings.events
    return FeedbackIntake(
        event_log=clients.event_log,
        memory=clients.memory,
        log_breaker=breakers.kafka,
        memory_breaker=breakers.redis,
        metrics=metrics,
        limits=EventLimits(
            max_age_ms=round(events.max_age_days * DAY_MS),
            max_ahead_ms=round(events.max_ahead_s * 1000),
        ),
        log_timeout_s=LOG_DEADLINE_S,
        memory_timeout_s=settings.redis.timeout_ms / 1000,
        now_ms=wall_clock_ms,
    )


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work that never ends by itself for as long as the block lasts."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
