"""What the interfaces call."""

import time
from dataclasses import dataclass

from serving.bandit.service import BanditService
from serving.belief_feed import BeliefFeed
from serving.catalog import Catalog
from serving.clients import Breakers
from serving.evidence.log import EvidenceLog
from serving.experiments_follower import ExperimentsFollower
from serving.explain.explainer import Explainer
from serving.feedback import FeedbackIntake
from serving.impressions import ImpressionLog
from serving.kept_feedback import KeptFeedback
from serving.known_user import UserLookup
from serving.limits import Limits
from serving.metrics import Metrics
from serving.pipeline import Pipeline
from serving.readouts import Readouts
from serving.reasoner import Reasoner
from serving.similar import SimilarItems


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """A service that is put together."""

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


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
