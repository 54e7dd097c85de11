"""A service at work, with all that goes on beside its requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.admission import Admission
from serving.assembly import assemble
from serving.background import beside
from serving.clients import opened
from serving.follow import CatalogFollower
from serving.heap import Heap
from serving.metrics import Metrics
from serving.rpc.server import listening
from serving.service import Service, wall_clock_ms
from serving.tracing import Tracer
from settings import Settings

DRAIN_S = 5.0


@asynccontextmanager
async def running(
    settings: Settings,
    metrics: Metrics,
    admission: Admission,
    *,
    tracer: Tracer | None = None,
) -> AsyncIterator[Service]:
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
        asked_at = settings.serving
        async with beside(
            follower.run,
            service.impressions.run,
            service.evidence.run,
            service.belief_feed.run,
            Heap(lambda: len(service.catalog)).run,
            *(one.run for one in (service.experiments, service.kept, service.reasoner) if one),
            *(breaker.run for breaker in breakers),
            metrics=metrics,
        ):
            async with listening(
                service.bandit,
                host=asked_at.host,
                port=asked_at.grpc_port,
                admission=admission,
                metrics=metrics,
                tracer=tracer,
            ):
                yield service
            await service.impressions.drain(timeout_s=DRAIN_S)
            await service.evidence.drain(timeout_s=DRAIN_S)
