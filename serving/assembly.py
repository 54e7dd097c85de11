"""Puts a service together from its clients."""

import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from domain.events import EventLimits
from domain.experiments import Experiments
from serving.bandit.beliefs import BeliefReader
from serving.bandit.rewards import RewardIntake, turns_of
from serving.bandit.service import BanditService
from serving.belief_feed import BeliefFeed
from serving.beliefs import BeliefCache, prior_view
from serving.catalog import Catalog
from serving.clients import LOG_DEADLINE_S, TRACES_TIMEOUT_MS, Breakers, Clients, breakers_of
from serving.evidence.log import EvidenceLog
from serving.evidence.taking import Going
from serving.experiments_follower import ExperimentsFollower
from serving.explain.explainer import Explainer
from serving.explain.present import PresentState
from serving.feedback import FeedbackIntake
from serving.hedged import hedged
from serving.impressions import ImpressionLog
from serving.kept_feedback import KeptFeedback
from serving.limits import Limits, LocalCounting
from serving.load import Load
from serving.metrics import Metrics
from serving.pipeline import Pipeline
from serving.rankings import Rankings
from serving.readouts import Ledger, Readouts
from serving.reasoner import Reasoner
from serving.service import Service, wall_clock_ms
from serving.similar import SimilarItems
from serving.stages.candidates import CandidateStage
from serving.stages.context import ContextStage
from serving.stages.explore import ExploreStage
from serving.stages.rank import RankStage
from serving.stages.reason import ReasonStage
from serving.user_direction import UserDirection
from settings import Settings
from stores.posteriors import PosteriorView
from stores.spool import Spool

DAY_MS = 86_400_000
SPOOL = Path("feedback.sqlite")
# So often is looked whether something is kept that Kafka may take now.
DELIVER_S = 1.0
# So late, at most, a changed file of experiments is followed.
EXPERIMENTS_S = 1.0


def assemble(clients: Clients, settings: Settings, metrics: Metrics) -> Service:
    """Wire everything."""
    catalog = Catalog()
    parts = _Parts(
        settings=settings,
        metrics=metrics,
        catalog=catalog,
        breakers=breakers_of(clients, catalog, metrics),
        clients=hedged(clients, share=settings.serving.hedge_share, metrics=metrics),
    )
    return parts.service()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parts:
    """The parts of a service; those that several others need are made once."""

    settings: Settings
    metrics: Metrics
    catalog: Catalog
    breakers: Breakers
    clients: Clients

    def service(self) -> Service:
        """All of them."""
        clients = self.clients
        return Service(
            pipeline=self.pipeline,
            explainer=self._explainer(),
            similar=self._similar(),
            intake=self._intake(),
            kept=self.kept,
            belief_feed=BeliefFeed(clients.posteriors, self.beliefs),
            impressions=ImpressionLog(clients.event_log, metrics=self.metrics),
            evidence=self.evidence,
            bandit=self._bandit(),
            catalog=self.catalog,
            breakers=self.breakers,
            metrics=self.metrics,
            lookup=clients.lookup,
            experiments=self.experiments,
            readouts=self._readouts(),
            limits=self._limits(),
            most_in_batch=self.settings.serving.most_in_batch,
            reasoner=self.reasoner,
        )

    @cached_property
    def redis_s(self) -> float:
        """So long a call of Redis may take."""
        return self.settings.redis.timeout_ms / 1000

    @cached_property
    def milvus_s(self) -> float:
        """The same of Milvus."""
        return self.settings.milvus.timeout_ms / 1000

    @cached_property
    def triton_s(self) -> float:
        """The same of Triton."""
        return self.settings.triton.timeout_ms / 1000

    @cached_property
    def deadline_s(self) -> float:
        """So long a list may take."""
        return self.settings.serving.deadline_ms / 1000

    @cached_property
    def prior(self) -> PosteriorView:
        """What is believed of an item of which nothing was learned."""
        streams = self.settings.streams
        return prior_view(streams.bandit_prior_alpha, streams.bandit_prior_beta)

    @cached_property
    def beliefs(self) -> BeliefCache:
        """What rewards taught."""
        return BeliefCache(self.clients.posteriors, breaker=self.breakers.redis, prior=self.prior)

    @cached_property
    def reasoner(self) -> Reasoner | None:
        """The language model, where there is one."""
        chat, breaker = self.clients.chat, self.breakers.llm
        if chat is None or breaker is None:
            return None
        return Reasoner(chat, self.settings.reasoner, breaker=breaker, metrics=self.metrics)

    @cached_property
    def experiments(self) -> ExperimentsFollower | None:
        """The file of experiments, where there is one."""
        file = self.settings.serving.experiments_file
        if not file:
            return None
        return ExperimentsFollower(
            Path(file).expanduser(),
            metrics=self.metrics,
            every_s=EXPERIMENTS_S,
            now_ms=wall_clock_ms,
        )

    @cached_property
    def kept(self) -> KeptFeedback | None:
        """What is kept while Kafka is away, unless nothing is."""
        most = self.settings.serving.kept_feedback
        if not most:
            return None
        return KeptFeedback(
            Spool(self.settings.data_dir / SPOOL, most=most),
            event_log=self.clients.event_log,
            breaker=self.breakers.kafka,
            metrics=self.metrics,
            every_s=DELIVER_S,
            timeout_s=LOG_DEADLINE_S,
        )

    @cached_property
    def evidence(self) -> EvidenceLog:
        """What is kept of answers."""
        serving = self.settings.serving
        return EvidenceLog(
            self.clients.traces,
            catalog=self.catalog,
            metrics=self.metrics,
            going=Going(policy=serving.policy, weight=serving.policy_weight),
            lifetime_s=serving.traces_s,
            per_s=serving.traces_per_s,
        )

    @cached_property
    def pipeline(self) -> Pipeline:
        """The stages."""
        experiments, reasoner = self.experiments, self.reasoner
        return Pipeline(
            catalog=self.catalog,
            rankings=Rankings(self.catalog, metrics=self.metrics),
            context=self._context(),
            candidates=self._candidates(),
            rank=RankStage(
                self.clients.ranker,
                breaker=self.breakers.triton,
                catalog=self.catalog,
                timeout_s=self.triton_s,
            ),
            explore=self._explore(),
            load=Load(most=self.settings.serving.most_under_way, metrics=self.metrics),
            metrics=self.metrics,
            deadline_s=self.deadline_s,
            now_ms=wall_clock_ms,
            experiments=(lambda: experiments.current) if experiments else Experiments,
            reason=ReasonStage(reasoner, catalog=self.catalog, metrics=self.metrics)
            if reasoner
            else None,
            evidence=self.evidence,
        )

    def _context(self) -> ContextStage:
        return ContextStage(
            self.clients.online,
            breaker=self.breakers.redis,
            catalog=self.catalog,
            metrics=self.metrics,
            timeout_s=self.redis_s,
            recent=self.settings.serving.recent_interactions,
        )

    def _candidates(self) -> CandidateStage:
        return CandidateStage(
            self.clients.vectors,
            self.clients.neighbors,
            milvus=self.breakers.milvus,
            redis=self.breakers.redis,
            direction=UserDirection(
                self.clients.tower,
                breaker=self.breakers.user_tower,
                catalog=self.catalog,
                metrics=self.metrics,
                timeout_s=self.triton_s,
                space=self.settings.serving.user_tower,
            ),
            catalog=self.catalog,
            metrics=self.metrics,
            milvus_timeout_s=self.milvus_s,
            redis_timeout_s=self.redis_s,
        )

    def _explore(self) -> ExploreStage:
        serving = self.settings.serving
        return ExploreStage(
            self.beliefs,
            timeout_s=self.redis_s,
            policy=serving.policy,
            weight=serving.policy_weight,
        )

    def _explainer(self) -> Explainer:
        return Explainer(
            store=self.clients.traces,
            present=self._present(),
            catalog=self.catalog,
            neighbors=self.clients.neighbors,
            ranker=self.clients.ranker,
            redis=self.breakers.redis,
            triton=self.breakers.triton,
            metrics=self.metrics,
            deadline_s=self.deadline_s,
            redis_timeout_s=TRACES_TIMEOUT_MS / 1000,
            triton_timeout_s=self.triton_s,
            reasoner=self.reasoner,
        )

    def _present(self) -> PresentState:
        serving = self.settings.serving
        return PresentState(
            catalog=self.catalog,
            context=self.pipeline.context,
            neighbors=self.clients.neighbors,
            rank=self.pipeline.rank,
            explore=self.pipeline.explore,
            redis=self.breakers.redis,
            policy=serving.policy,
            policy_weight=serving.policy_weight,
            deadline_s=self.deadline_s,
            redis_timeout_s=TRACES_TIMEOUT_MS / 1000,
            now_ms=wall_clock_ms,
        )

    def _similar(self) -> SimilarItems:
        return SimilarItems(
            catalog=self.catalog,
            vectors=self.clients.vectors,
            neighbors=self.clients.neighbors,
            online=self.clients.online,
            milvus=self.breakers.milvus,
            redis=self.breakers.redis,
            metrics=self.metrics,
            deadline_s=self.deadline_s,
            milvus_timeout_s=self.milvus_s,
            redis_timeout_s=self.redis_s,
            recent=self.settings.serving.recent_interactions,
        )

    def _intake(self) -> FeedbackIntake:
        # What can be kept waits for Kafka no longer than a list may take.
        patience_s = min(LOG_DEADLINE_S, self.deadline_s) if self.kept else LOG_DEADLINE_S
        return FeedbackIntake(
            event_log=self.clients.event_log,
            memory=self.clients.memory,
            log_breaker=self.breakers.kafka,
            memory_breaker=self.breakers.redis,
            metrics=self.metrics,
            kept=self.kept,
            limits=self._event_limits(),
            log_timeout_s=patience_s,
            memory_timeout_s=self.redis_s,
            now_ms=wall_clock_ms,
        )

    def _bandit(self) -> BanditService:
        return BanditService(
            beliefs=BeliefReader(
                store=self.clients.posteriors,
                breaker=self.breakers.redis,
                prior=self.prior,
                timeout_s=self.redis_s,
            ),
            intake=RewardIntake(
                event_log=self.clients.event_log,
                breaker=self.breakers.kafka,
                turns=turns_of(self.settings.streams.bandit_dedup_ids),
                limits=self._event_limits(),
                timeout_s=LOG_DEADLINE_S,
                now_ms=wall_clock_ms,
                new_id=lambda: str(uuid4()),
            ),
            metrics=self.metrics,
            draw_seed=lambda: secrets.randbits(64),
        )

    def _event_limits(self) -> EventLimits:
        events = self.settings.events
        return EventLimits(
            max_age_ms=round(events.max_age_days * DAY_MS),
            max_ahead_ms=round(events.max_ahead_s * 1000),
        )

    def _readouts(self) -> Readouts:
        lake = self.settings.lake
        return Readouts(
            Ledger(
                lake=self.settings.lake_directory,
                server=lake.clickhouse.get_secret_value(),
                timeout_s=lake.timeout_s,
            )
        )

    def _limits(self) -> Limits:
        return Limits(
            counting=self.clients.limits,
            local=LocalCounting(now_ms=wall_clock_ms),
            breaker=self.breakers.redis,
            metrics=self.metrics,
            settings=self.settings,
        )
