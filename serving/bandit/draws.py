"""Draws what items are worth trying, and puts what is known of them into messages."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from domain.bandit import confidence_of
from domain.policies import Floats
from serving.bandit.asked import POLICIES, Draws
from serving.beliefs import arms_of
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from stores.posteriors import PosteriorView


def drawn(asked: Draws, views: Sequence[PosteriorView], *, seed: int) -> Floats:
    """A row a draw, a column an item; the same seed draws the same from the same posteriors."""
    rng, policy = np.random.default_rng(seed), POLICIES[asked.policy]
    arms = arms_of(views, asked.features)
    return policy.draws(arms, count=asked.count, rng=rng)


def samples_of(
    asked: Draws, views: Sequence[PosteriorView], *, seed: int
) -> list[pb.SampleResponse.ItemSample]:
    """The draws of each item, in the order of the request."""
    values = drawn(asked, views, seed=seed).T.tolist()
    return [_sample(*one) for one in zip(asked.item_ids, views, values, strict=True)]


def _sample(item_id: str, view: PosteriorView, values: list[float]) -> pb.SampleResponse.ItemSample:
    return pb.SampleResponse.ItemSample(
        item_id=item_id,
        sampled_value=values[0],
        uncertainty=1.0 / sqrt(view.alpha + view.beta),
        sampled_values=values if len(values) > 1 else (),
        expected_value=view.alpha / (view.alpha + view.beta),
        version=view.version,
    )


def parameters_of(
    item_id: str, segment: str, view: PosteriorView, *, contextual: bool
) -> pb.BanditParameters:
    """All that is known of an item in a segment."""
    sure = confidence_of(view.alpha, view.beta)
    return pb.BanditParameters(
        item_id=item_id,
        context_segment=segment,
        thompson=pb.BanditParameters.Thompson(
            alpha=view.alpha,
            beta=view.beta,
            prior_alpha=view.prior_alpha,
            prior_beta=view.prior_beta,
        ),
        contextual=_contextual(view) if contextual else None,
        statistics=pb.BanditParameters.Statistics(
            total_impressions=view.total_impressions,
            total_rewards=view.total_rewards,
            last_updated_ms=view.timestamp_ms,
            exploration_count=view.exploration_count,
            exploitation_count=view.exploitation_count,
        ),
        confidence=pb.BanditParameters.Confidence(
            uncertainty=sure.uncertainty,
            expected_value=sure.expected_value,
            credible_interval_lower=sure.lower,
            credible_interval_upper=sure.upper,
        ),
        known=view.version > 0,
        version=view.version,
    )


def _contextual(view: PosteriorView) -> pb.BanditParameters.Contextual | None:
    if view.weights is None or view.variances is None:
        return None
    return pb.BanditParameters.Contextual(
        feature_weights=view.weights.tolist(), feature_variances=view.variances.tolist()
    )
