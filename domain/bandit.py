"""What the rewards of an item in a segment teach: a Beta distribution, and a model of the context.

The Beta distribution counts rewards and rewards missed on top of a prior. With a half-life both
counts fall towards nothing, and the distribution towards its prior, by the time of the showings:
each counts `2 ** (-age / half_life)` at the latest of them, whichever was read first. A correction
(a stronger reaction to the same showing) bears the time of its showing, so it takes back exactly
what is left of what it corrects.

The model of the context is the document's: a logistic regression that takes one small step a
reward, and the covariance of the contexts, which forgets a hundredth with each. The steps depend on
the order of the log. `covariance / COVARIANCE_STEP` is the precision matrix of a linear regression
that forgets at that rate and began with ten times the identity, so it says how much is known of a
direction. It is kept as its upper half.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, exp2, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from domain.beta import beta_quantile
from domain.events import EventLimits
from domain.recent_ids import remember
from domain.segments import CONTEXT_DIM
from schemas.collections import ID_MAX_LENGTH
from schemas.topics import BANDIT_UPDATES
from schemas.types import BanditPosterior, BanditUpdate

Floats = NDArray[np.float32]

LEARNING_RATE = 0.01
COVARIANCE_STEP = 0.01
FIRST_VARIANCE = 0.1
RIDGE = 1.0
LARGEST_LOGIT = 60.0
LOWER, UPPER = 0.05, 0.95

_ROWS, _COLUMNS = np.triu_indices(CONTEXT_DIM)
_DIAGONAL = np.flatnonzero(_ROWS == _COLUMNS)
PACKED_SIZE = len(_ROWS)


def _first_covariance() -> Floats:
    packed = np.zeros(PACKED_SIZE, np.float32)
    packed[_DIAGONAL] = FIRST_VARIANCE
    return packed


def _no_ids() -> array[int]:
    return array("Q")


@dataclass(frozen=True, kw_only=True)
class BanditRules:
    """What a posterior begins with and what it forgets; a half-life of 0: nothing."""

    prior_alpha: float = 1.0
    prior_beta: float = 1.0
    half_life_ms: int = 0
    dedup_ids: int = 32


DEFAULT_RULES = BanditRules()


@dataclass(slots=True, kw_only=True)
class ContextModel:
    """Weights and the packed covariance, both changed in place."""

    weights: Floats = field(default_factory=lambda: np.zeros(CONTEXT_DIM, np.float32))
    covariance: Floats = field(default_factory=_first_covariance)


@dataclass(slots=True, kw_only=True)
class Posterior:
    """One item in one segment, changed in place by `learn`.

    `gained` and `missed` are the rewards without the prior, as of `timestamp_ms`.
    """

    version: int = 0
    timestamp_ms: int = 0
    log_time_ms: int = 0
    gained: float = 0.0
    missed: float = 0.0
    impressions: int = 0
    rewarded: int = 0
    explored: int = 0
    exploited: int = 0
    recent_ids: array[int] = field(default_factory=_no_ids)
    model: ContextModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """How sure a posterior is; 90 % of its mass lie between the bounds."""

    uncertainty: float
    expected_value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class BadUpdate:
    """Why an update can't be used: a short name, what was seen and is allowed, and where."""

    reason: str
    detail: str
    field: str


def key_of(item_id: str, context_segment: str) -> str:
    """The key of a posterior. Item ids may have colons, segments have none.

    >>> key_of("sku:7", "mobile_us_evening")
    'sku:7:mobile_us_evening'
    """
    return f"{item_id}:{context_segment}"


def update_refusal(
    update: BanditUpdate, *, key: bytes | None, log_time_ms: int, limits: EventLimits
) -> BadUpdate | None:
    """Why an update can't be used, None where it can.

    >>> update = BanditUpdate(
    ...     update_id="e1:i1", item_id="i1", context_segment="all", reward=2.0, timestamp_ms=0)
    >>> update_refusal(update, key=b"i1:all", log_time_ms=0, limits=EventLimits()).reason
    'bad_reward'
    """
    return (
        _identity_refusal(update, key)
        or _time_refusal(update.timestamp_ms - log_time_ms, limits.max_ahead_ms)
        or _reward_refusal("reward", update.reward)
        or _reward_refusal("previous_reward", update.previous_reward or 0.0)
        or features_refusal(update.context_features)
    )


def features_refusal(features: Sequence[float]) -> BadUpdate | None:
    """Why the features of a context can't be used, None where they can; none at all can.

    >>> features_refusal([0.5]).detail
    '1 features; 64 or none are allowed'
    """
    field = "context_features"
    if not features:
        return None
    if len(features) != CONTEXT_DIM:
        detail = f"{len(features)} features; {CONTEXT_DIM} or none are allowed"
        return BadUpdate("bad_features", detail, field)
    if not (np.abs(np.fromiter(features, np.float32, CONTEXT_DIM)) <= 1.0).all():
        return BadUpdate("bad_features", "a feature is not in -1 to 1", field)
    return None


def learn(posterior: Posterior, update: BanditUpdate, *, rules: BanditRules) -> bool:
    """Change a posterior by a valid update, in place; False for one that it knows already.

    >>> posterior = Posterior()
    >>> click = BanditUpdate(
    ...     update_id="e1:i1", item_id="i1", context_segment="all", reward=0.25, timestamp_ms=0)
    >>> learn(posterior, click, rules=DEFAULT_RULES), learn(posterior, click, rules=DEFAULT_RULES)
    (True, False)
    >>> alpha_beta(posterior, DEFAULT_RULES)
    (1.25, 1.75)
    """
    if not remember(posterior.recent_ids, update.update_id, limit=rules.dedup_ids):
        return False
    weight = _advance(posterior, update.timestamp_ms, rules.half_life_ms)
    _count_reward(posterior, update, weight)
    _count_statistics(posterior, update)
    if update.context_features:
        posterior.model = posterior.model or ContextModel()
        _learn_context(posterior.model, update)
    posterior.log_time_ms = max(posterior.log_time_ms, update.log_time_ms)
    posterior.version += 1
    return True


def alpha_beta(posterior: Posterior, rules: BanditRules) -> tuple[float, float]:
    """The parameters as of the latest showing.

    >>> alpha_beta(Posterior(gained=2.0, missed=3.0), DEFAULT_RULES)
    (3.0, 4.0)
    """
    return rules.prior_alpha + posterior.gained, rules.prior_beta + posterior.missed


def confidence_of(alpha: float, beta: float) -> Confidence:
    """How sure a Beta(alpha, beta) is.

    >>> confidence_of(1.0, 1.0).expected_value
    0.5
    """
    return Confidence(
        uncertainty=1.0 / sqrt(alpha + beta),
        expected_value=alpha / (alpha + beta),
        lower=beta_quantile(LOWER, alpha, beta),
        upper=beta_quantile(UPPER, alpha, beta),
    )


def context_uncertainty(variances: Floats, features: Floats) -> float:
    """How little is known of a context, 0 to 1 for one of unit length; 1 where nothing is.

    Takes the precision by its diagonal alone, which is what is published of it.

    >>> import numpy as np
    >>> nothing, east = np.zeros(64, np.float32), np.eye(64, dtype=np.float32)[0]
    >>> context_uncertainty(nothing, east)
    1.0
    """
    precision = RIDGE + variances.astype(np.float64) / COVARIANCE_STEP
    return float(np.sqrt(np.sum(np.square(features, dtype=np.float64) / precision)))


def posterior_record(
    posterior: Posterior, *, item_id: str, context_segment: str, rules: BanditRules
) -> BanditPosterior:
    """A posterior as it is told.

    >>> record = posterior_record(
    ...     Posterior(version=3), item_id="i1", context_segment="all", rules=DEFAULT_RULES)
    >>> record.version, record.alpha, record.weights
    (3, 1.0, b'')
    """
    alpha, beta = alpha_beta(posterior, rules)
    model = posterior.model
    return BanditPosterior(
        item_id=item_id,
        context_segment=context_segment,
        version=posterior.version,
        timestamp_ms=posterior.timestamp_ms,
        log_time_ms=posterior.log_time_ms,
        alpha=alpha,
        beta=beta,
        prior_alpha=rules.prior_alpha,
        prior_beta=rules.prior_beta,
        weights=model.weights.astype("<f4", copy=False).tobytes() if model else b"",
        variances=variances_of(model).astype("<f4", copy=False).tobytes() if model else b"",
        total_impressions=posterior.impressions,
        total_rewards=posterior.rewarded,
        exploration_count=posterior.explored,
        exploitation_count=posterior.exploited,
    )


def variances_of(model: ContextModel) -> Floats:
    """The diagonal of the covariance.

    >>> variances_of(ContextModel())[:2].round(3).tolist()
    [0.10000000149011612, 0.10000000149011612]
    """
    return model.covariance[_DIAGONAL]


def covariance_matrix(model: ContextModel) -> Floats:
    """The covariance as a full matrix.

    >>> covariance_matrix(ContextModel()).shape
    (64, 64)
    """
    matrix = np.empty((CONTEXT_DIM, CONTEXT_DIM), np.float32)
    matrix[_ROWS, _COLUMNS] = model.covariance
    matrix[_COLUMNS, _ROWS] = model.covariance
    return matrix


def sigmoid(value: float) -> float:
    """The logistic function.

    >>> sigmoid(0.0), sigmoid(-1e9) > 0.0
    (0.5, True)
    """
    return 1.0 / (1.0 + exp(-max(-LARGEST_LOGIT, min(LARGEST_LOGIT, value))))


def _identity_refusal(update: BanditUpdate, key: bytes | None) -> BadUpdate | None:
    for name in ("update_id", "item_id", "context_segment"):
        if not getattr(update, name):
            return BadUpdate("empty_id", f"{name} is empty; each update needs one", name)
    for name in ("item_id", "context_segment"):
        if len(getattr(update, name).encode()) > ID_MAX_LENGTH:
            return BadUpdate("too_long", f"{name} has more than {ID_MAX_LENGTH} bytes", name)
    if ":" in update.context_segment:
        detail = "context_segment has a colon; keys couldn't be told apart"
        return BadUpdate("bad_segment", detail, "context_segment")
    if key != key_of(update.item_id, update.context_segment).encode():
        return BadUpdate("wrong_key", BANDIT_UPDATES.complaint(key), "item_id")
    return None


def _time_refusal(ahead_ms: int, max_ahead_ms: int) -> BadUpdate | None:
    if ahead_ms > max_ahead_ms:
        detail = f"{ahead_ms} ms ahead of the log; at most {max_ahead_ms} allowed"
        return BadUpdate("in_future", detail, "timestamp_ms")
    return None


def _reward_refusal(name: str, reward: float) -> BadUpdate | None:
    if isfinite(reward) and 0.0 <= reward <= 1.0:
        return None
    return BadUpdate("bad_reward", f"{name} is {reward}; 0 to 1 is allowed", name)


def _advance(posterior: Posterior, timestamp_ms: int, half_life_ms: int) -> float:
    """Let what is known fade up to a later showing; answer what this one is worth by now."""
    first = posterior.version == 0
    age_ms = 0 if first else posterior.timestamp_ms - timestamp_ms
    if first or age_ms < 0:
        posterior.timestamp_ms = timestamp_ms
    if not half_life_ms:
        return 1.0
    if age_ms >= 0:
        return exp2(-age_ms / half_life_ms)
    left = exp2(age_ms / half_life_ms)
    posterior.gained *= left
    posterior.missed *= left
    return 1.0


def _count_reward(posterior: Posterior, update: BanditUpdate, weight: float) -> None:
    """Count a reward, or what it is more than the one that it replaces."""
    before = update.previous_reward
    gained = update.reward - (before or 0.0)
    missed = -gained if before is not None else 1.0 - update.reward
    # Nothing is below nothing: a correction of what was never counted, or a rounding.
    posterior.gained = max(0.0, posterior.gained + weight * gained)
    posterior.missed = max(0.0, posterior.missed + weight * missed)


def _count_statistics(posterior: Posterior, update: BanditUpdate) -> None:
    previous = update.previous_reward
    rewarded = (update.reward > 0) - ((previous or 0.0) > 0)
    posterior.rewarded = max(0, posterior.rewarded + rewarded)
    if previous is None:
        posterior.impressions += 1
        posterior.explored += update.explored is True
        posterior.exploited += update.explored is False


def _learn_context(model: ContextModel, update: BanditUpdate) -> None:
    """Step along the gradient. A correction steps by what it corrects, and is no new context."""
    features = np.fromiter(update.context_features, np.float32, CONTEXT_DIM)
    if update.previous_reward is not None:
        error = update.reward - update.previous_reward
    else:
        error = update.reward - sigmoid(float(model.weights @ features))
        model.covariance *= np.float32(1.0 - COVARIANCE_STEP)
        moved = features[_ROWS]
        moved *= features[_COLUMNS]
        moved *= np.float32(COVARIANCE_STEP)
        model.covariance += moved
    model.weights += np.float32(LEARNING_RATE * error) * features
