"""What answers requests, put together from clients, stages and background work."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from domain.events import EventLimits
from domain.experiments import Experiments
from serving.admission import Admission
from serving.background import beside
from serving.bandit.beliefs import BeliefReader
from serving.bandit.rewards import RewardIntake, turns_of
from serving.bandit.service import BanditService
from serving.belief_feed import BeliefFeed
from serving.beliefs import BeliefCache, prior_view
from serving.catalog import Catalog
from serving.clients import (
    LOG_DEADLINE_S,
    TRACES_TIMEOUT_MS,
    Breakers,
    Clients,
    breakers_of,
    opened,
)
from serving.evidence.log import EvidenceLog
from serving.evidence.taking import Going
from serving.experiments_follower import ExperimentsFollower
from serving.explain.explainer import Explainer
from serving.explain.present import PresentState
from serving.feedback import FeedbackIntake
from serving.follow import CatalogFollower
from serving.heap import Heap
from serving.hedged import hedged
from serving.impressions import ImpressionLog
from serving.kept_feedback import KeptFeedback
from serving.known_user import UserLookup
from serving.limits import Limits, LocalCounting
from serving.load import Load
from serving.metrics import Metrics
from serving.pipeline import Pipeline
from serving.rankings import Rankings
from serving.readouts import Ledger, Readouts
from serving.reasoner import Reasoner
from serving.rpc.server import listening
from serving.similar import SimilarItems
from serving.stages.candidates import CandidateStage
from serving.stages.context import ContextStage
from serving.stages.explore import ExploreStage
from serving.stages.rank import RankStage
from serving.stages.reason import ReasonStage
from serving.tracing import Tracer
from serving.user_direction import UserDirection
from settings import Settings
from stores.posteriors import PosteriorView
from stores.spool import Spool

DAY_MS = 86_400_000
DRAIN_S = 5.0
SPOOL = Path("feedback.sqlite")
# So often is looked whether something is kept that Kafka may take now.
DELIVER_S = 1.0
# So late, at most, a changed file of experiments is followed.
EXPERIMENTS_S = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """What the interfaces call."""

    pipeline: Pipeline
    explainer: Explainer
    similar: SimilarItems
    intake: FeedbackIntake
    kept: KeptFeedback | None
    belief_feed: BeliefFeed
    impressions: ImpressionLog
    evidence: EvidenceLog
    bandit: BanditService
    catalog: Catalog
    breakers: Breakers
    metrics: Metrics
    lookup: UserLookup
    experiments: ExperimentsFollower | None
    readouts: Readouts
    limits: Limits
    most_in_batch: int
    reasoner: Reasoner | None = None


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


def assemble(clients: Clients, settings: Settings, metrics: Metrics) -> Service:
    """Wire the stages."""
    catalog = Catalog()
    breakers = breakers_of(clients, catalog, metrics)
    clients = hedged(clients, share=settings.serving.hedge_share, metrics=metrics)
    experiments = _experiments(settings, metrics)
    kept = _kept(clients, settings, breakers, metrics)
    beliefs = BeliefCache(clients.posteriors, breaker=breakers.redis, prior=_prior(settings))
    reasoner = _reasoner(clients, settings, breakers, metrics)
    evidence = _evidence(clients, settings, catalog, metrics)
    pipeline = _pipeline(
        clients, settings, breakers, catalog, metrics, experiments, beliefs, reasoner
    )
    return Service(
        pipeline=replace(pipeline, evidence=evidence),
        explainer=_explainer(clients, settings, breakers, pipeline, reasoner),
        similar=_similar(clients, settings, breakers, catalog, metrics),
        intake=_intake(clients, settings, breakers, metrics, kept),
        kept=kept,
        belief_feed=BeliefFeed(clients.posteriors, beliefs),
        impressions=ImpressionLog(clients.event_log, metrics=metrics),
        evidence=evidence,
        bandit=_bandit(clients, settings, breakers, metrics),
        catalog=catalog,
        breakers=breakers,
        metrics=metrics,
        lookup=clients.lookup,
        experiments=experiments,
        readouts=Readouts(
            Ledger(
                lake=settings.lake_directory,
                server=settings.lake.clickhouse.get_secret_value(),
                timeout_s=settings.lake.timeout_s,
            )
        ),
        limits=Limits(
            counting=clients.limits,
            local=LocalCounting(now_ms=wall_clock_ms),
            breaker=breakers.redis,
            metrics=metrics,
            settings=settings,
        ),
        reasoner=reasoner,
        most_in_batch=settings.serving.most_in_batch,
    )


def _reasoner(
    clients: Clients, settings: Settings, breakers: Breakers, metrics: Metrics
) -> Reasoner | None:
    if clients.chat is None or breakers.llm is None:
        return None
    return Reasoner(clients.chat, settings.reasoner, breaker=breakers.llm, metrics=metrics)


def _experiments(settings: Settings, metrics: Metrics) -> ExperimentsFollower | None:
    file = settings.serving.experiments_file
    if not file:
        return None
    return ExperimentsFollower(
        Path(file).expanduser(), metrics=metrics, every_s=EXPERIMENTS_S, now_ms=wall_clock_ms
    )


def _pipeline(
    clients: Clients,
    settings: Settings,
    breakers: Breakers,
    catalog: Catalog,
    metrics: Metrics,
    experiments: ExperimentsFollower | None,
    beliefs: BeliefCache,
    reasoner: Reasoner | None,
) -> Pipeline:
    return Pipeline(
        catalog=catalog,
        rankings=Rankings(catalog, metrics=metrics),
        context=ContextStage(
            clients.online,
            breaker=breakers.redis,
            catalog=catalog,
            metrics=metrics,
            timeout_s=settings.redis.timeout_ms / 1000,
            recent=settings.serving.recent_interactions,
        ),
        candidates=CandidateStage(
            clients.vectors,
            clients.neighbors,
            milvus=breakers.milvus,
            redis=breakers.redis,
            direction=UserDirection(
                clients.tower,
                breaker=breakers.user_tower,
                catalog=catalog,
                metrics=metrics,
                timeout_s=settings.triton.timeout_ms / 1000,
                space=settings.serving.user_tower,
            ),
            catalog=catalog,
            metrics=metrics,
            milvus_timeout_s=settings.milvus.timeout_ms / 1000,
            redis_timeout_s=settings.redis.timeout_ms / 1000,
        ),
        rank=RankStage(
            clients.ranker,
            breaker=breakers.triton,
            catalog=catalog,
            timeout_s=settings.triton.timeout_ms / 1000,
        ),
        explore=_explore(beliefs, settings),
        load=Load(most=settings.serving.most_under_way, metrics=metrics),
        metrics=metrics,
        deadline_s=settings.serving.deadline_ms / 1000,
        now_ms=wall_clock_ms,
        experiments=(lambda: experiments.current) if experiments else Experiments,
        reason=ReasonStage(reasoner, catalog=catalog, metrics=metrics) if reasoner else None,
    )


def _evidence(
    clients: Clients, settings: Settings, catalog: Catalog, metrics: Metrics
) -> EvidenceLog:
    serving = settings.serving
    return EvidenceLog(
        clients.traces,
        catalog=catalog,
        metrics=metrics,
        going=Going(policy=serving.policy, weight=serving.policy_weight),
        lifetime_s=serving.traces_s,
        per_s=serving.traces_per_s,
    )


def _explainer(
    clients: Clients,
    settings: Settings,
    breakers: Breakers,
    pipeline: Pipeline,
    reasoner: Reasoner | None,
) -> Explainer:
    redis_timeout_s, deadline_s = TRACES_TIMEOUT_MS / 1000, pipeline.deadline_s
    return Explainer(
        store=clients.traces,
        present=PresentState(
            catalog=pipeline.catalog,
            context=pipeline.context,
            neighbors=clients.neighbors,
            rank=pipeline.rank,
            explore=pipeline.explore,
            redis=breakers.redis,
            policy=settings.serving.policy,
            policy_weight=settings.serving.policy_weight,
            deadline_s=deadline_s,
            redis_timeout_s=redis_timeout_s,
            now_ms=wall_clock_ms,
        ),
        catalog=pipeline.catalog,
        neighbors=clients.neighbors,
        ranker=clients.ranker,
        redis=breakers.redis,
        triton=breakers.triton,
        metrics=pipeline.metrics,
        deadline_s=deadline_s,
        redis_timeout_s=redis_timeout_s,
        triton_timeout_s=settings.triton.timeout_ms / 1000,
        reasoner=reasoner,
    )


def _explore(beliefs: BeliefCache, settings: Settings) -> ExploreStage:
    serving = settings.serving
    return ExploreStage(
        beliefs,
        timeout_s=settings.redis.timeout_ms / 1000,
        policy=serving.policy,
        weight=serving.policy_weight,
    )


def _similar(
    clients: Clients, settings: Settings, breakers: Breakers, catalog: Catalog, metrics: Metrics
) -> SimilarItems:
    return SimilarItems(
        catalog=catalog,
        vectors=clients.vectors,
        neighbors=clients.neighbors,
        online=clients.online,
        milvus=breakers.milvus,
        redis=breakers.redis,
        metrics=metrics,
        deadline_s=settings.serving.deadline_ms / 1000,
        milvus_timeout_s=settings.milvus.timeout_ms / 1000,
        redis_timeout_s=settings.redis.timeout_ms / 1000,
        recent=settings.serving.recent_interactions,
    )


def _kept(
    clients: Clients, settings: Settings, breakers: Breakers, metrics: Metrics
) -> KeptFeedback | None:
    most = settings.serving.kept_feedback
    if not most:
        return None
    return KeptFeedback(
        Spool(settings.data_dir / SPOOL, most=most),
        event_log=clients.event_log,
        breaker=breakers.kafka,
        metrics=metrics,
        every_s=DELIVER_S,
        timeout_s=LOG_DEADLINE_S,
    )


def _intake(
    clients: Clients,
    settings: Settings,
    breakers: Breakers,
    metrics: Metrics,
    kept: KeptFeedback | None,
) -> FeedbackIntake:
    return FeedbackIntake(
        event_log=clients.event_log,
        memory=clients.memory,
        log_breaker=breakers.kafka,
        memory_breaker=breakers.redis,
        metrics=metrics,
        kept=kept,
        limits=_limits(settings),
        log_timeout_s=_patience_s(settings) if kept else LOG_DEADLINE_S,
        memory_timeout_s=settings.redis.timeout_ms / 1000,
        now_ms=wall_clock_ms,
    )


def _patience_s(settings: Settings) -> float:
    """Feedback that can be kept waits for Kafka no longer than a list may take."""
    return min(LOG_DEADLINE_S, settings.serving.deadline_ms / 1000)


def _bandit(
    clients: Clients, settings: Settings, breakers: Breakers, metrics: Metrics
) -> BanditService:
    return BanditService(
        beliefs=BeliefReader(
            store=clients.posteriors,
            breaker=breakers.redis,
            prior=_prior(settings),
            timeout_s=settings.redis.timeout_ms / 1000,
        ),
        intake=RewardIntake(
            event_log=clients.event_log,
            breaker=breakers.kafka,
            turns=turns_of(settings.streams.bandit_dedup_ids),
            limits=_limits(settings),
            timeout_s=LOG_DEADLINE_S,
            now_ms=wall_clock_ms,
            new_id=lambda: str(uuid4()),
        ),
        metrics=metrics,
        draw_seed=lambda: secrets.randbits(64),
    )


def _prior(settings: Settings) -> PosteriorView:
    streams = settings.streams
    return prior_view(streams.bandit_prior_alpha, streams.bandit_prior_beta)


def _limits(settings: Settings) -> EventLimits:
    events = settings.events
    return EventLimits(
        max_age_ms=round(events.max_age_days * DAY_MS),
        max_ahead_ms=round(events.max_ahead_s * 1000),
    )


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
