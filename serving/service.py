"""What the interfaces call."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.types import Impression
from serving.bandit.service import BanditService
from serving.belief_feed import BeliefFeed
from serving.callers import Caller
from serving.catalog import Catalog
from serving.clients import Breakers
from serving.deadline import Deadline
from serving.evidence.log import EvidenceLog
from serving.experiments_follower import ExperimentsFollower
from serving.explain.explainer import Explainer
from serving.feedback import FeedbackIntake
from serving.impressions import ImpressionLog
from serving.kept_feedback import KeptFeedback
from serving.known_user import UserLookup
from serving.limits import Decision, Limits
from serving.metrics import Metrics
from serving.pipeline import Body, Pipeline
from serving.readouts import Readouts
from serving.reasoner import Reasoner
from serving.request_scope import current_request_id
from serving.requests import PersonalizeRequest
from serving.similar import SimilarItems
from serving.stages import answer


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

    async def listed(
        self,
        caller: Caller,
        user_id: str,
        asked: Callable[[], PersonalizeRequest],
        *,
        shape: Body = answer.body,
        deadline: Deadline | None = None,
    ) -> tuple[dict[str, Any], Impression, Decision]:
        """A list within the caller's limit, with its impression logged; what is asked is read last.

        The request at hand gives it its id.
        """
        limit = await self.limits.admit(caller, "personalize", user_id)
        made, impression = await self.pipeline.personalize(
            asked(),
            request_id=current_request_id(),
            body=shape,
            degrade=limit.degrade,
            deadline=deadline,
        )
        self.impressions.put(impression)
        return made, impression, limit


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
