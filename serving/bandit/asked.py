"""Reads requests: what they ask for, or the first thing that is wrong with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain import policies
from domain.bandit import BadUpdate, features_refusal, key_of, update_refusal
from domain.events import EventLimits
from domain.policies import Policy
from schemas.collections import ID_MAX_LENGTH
from schemas.types import BanditUpdate
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.errors import shown
from serving.rpc.refusals import RefusedCallError, invalid

MAX_ITEMS = 500
MAX_SAMPLES = 100
# Draws of one request: a few milliseconds in which nobody else is answered.
MAX_DRAWS = 20_000

BY_DEFAULT = pb.POLICY_CONTEXTUAL_THOMPSON
# By the contract's numbers, which have the domain's names behind a prefix.
POLICIES: Mapping[int, Policy] = {
    pb.Policy.Value(f"POLICY_{name.upper()}"): policy for name, policy in policies.POLICIES.items()
}

# What the domain calls by another name than the contract.
FIELDS = {"timestamp_ms": "shown_at_ms"}
NAMES = ("user_id", "request_id", "action")
OPTIONAL = frozenset({"previous_reward", "explored", "propensity", "position", *NAMES})


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """What a valid request for draws asks for."""

    item_ids: tuple[str, ...]
    segment: str
    features: NDArray[np.float32] | None
    count: int
    policy: pb.Policy.ValueType
    seed: int | None


def draws_of(request: pb.SampleRequest) -> Draws:
    """What to draw, or `RefusedCallError`."""
    items = item_ids_of(request.item_ids)
    return Draws(
        item_ids=items,
        segment=segment_of(request.context_segment),
        features=_features(request.context_features),
        count=_count(request.num_samples, len(items)),
        policy=_policy(request.policy),
        seed=request.seed if request.HasField("seed") else None,
    )


def item_ids_of(item_ids: Sequence[str]) -> tuple[str, ...]:
    """The items, or `RefusedCallError`."""
    if not 1 <= len(item_ids) <= MAX_ITEMS:
        raise invalid("item_ids", f"item_ids has {len(item_ids)}; 1 to {MAX_ITEMS} are allowed")
    return tuple(_id(f"item_ids[{place}]", one) for place, one in enumerate(item_ids))


def segment_of(segment: str) -> str:
    """The segment, or `RefusedCallError`."""
    if ":" in segment:
        raise invalid(
            "context_segment",
            f"context_segment is {shown(segment)}; no colon is allowed, as in mobile_us_evening",
        )
    return _id("context_segment", segment)


def update_of(
    request: pb.UpdateRequest, *, now_ms: int, limits: EventLimits, new_id: Callable[[], str]
) -> BanditUpdate:
    """What goes into the log, or `RefusedCallError` for what the job would refuse later."""
    for name in ("item_id", "context_segment"):
        _id(name, getattr(request, name))
    for name in ("update_id", *NAMES):
        _short(name, getattr(request, name))
    _check_showing(request)
    update = _update(request, now_ms=now_ms, update_id=request.update_id or new_id())
    if now_ms - update.timestamp_ms > limits.max_age_ms:
        raise invalid("shown_at_ms", _too_old(update.timestamp_ms, limits.max_age_ms))
    key = key_of(update.item_id, update.context_segment).encode()
    refused = update_refusal(update, key=key, log_time_ms=now_ms, limits=limits)
    if refused is not None:
        raise _told(refused)
    return update


def _update(request: pb.UpdateRequest, *, now_ms: int, update_id: str) -> BanditUpdate:
    given = {entry.name: value for entry, value in request.ListFields() if entry.name in OPTIONAL}
    return BanditUpdate(
        update_id=update_id,
        item_id=request.item_id,
        context_segment=request.context_segment,
        reward=request.reward,
        context_features=tuple(request.context_features),
        timestamp_ms=request.shown_at_ms if request.HasField("shown_at_ms") else now_ms,
        log_time_ms=now_ms,
        **given,
    )


def _check_showing(request: pb.UpdateRequest) -> None:
    if request.HasField("propensity") and not 0.0 < request.propensity <= 1.0:
        raise invalid("propensity", f"propensity is {request.propensity}; above 0 to 1 is allowed")
    if request.HasField("position") and request.position < 1:
        raise invalid("position", f"position is {request.position}; the first is 1")


def _too_old(timestamp_ms: int, max_age_ms: int) -> str:
    days = max_age_ms // 86_400_000
    return (
        f"shown_at_ms is {timestamp_ms}, more than {days} days ago; "
        "milliseconds since 1970 are allowed, or none for now"
    )


def _told(refused: BadUpdate) -> RefusedCallError:
    field = FIELDS.get(refused.field, refused.field)
    says = refused.detail if refused.detail.startswith(field) else f"{field}: {refused.detail}"
    return invalid(field, says, reason=refused.reason)


def _features(features: Sequence[float]) -> NDArray[np.float32] | None:
    refused = features_refusal(features)
    if refused is not None:
        raise _told(refused)
    return np.array(features, np.float32) if features else None


def _count(asked: int, items: int) -> int:
    if not 0 <= asked <= MAX_SAMPLES:
        raise invalid("num_samples", f"num_samples is {asked}; 0 to {MAX_SAMPLES} are allowed")
    if asked * items > MAX_DRAWS:
        raise invalid(
            "num_samples",
            f"num_samples is {asked} for {items} items, {asked * items} draws; "
            f"at most {MAX_DRAWS} are allowed",
        )
    return asked or 1


def _policy(asked: pb.Policy.ValueType) -> pb.Policy.ValueType:
    policy = asked or BY_DEFAULT
    if policy not in POLICIES:
        known = ", ".join(pb.Policy.Name(one) for one in pb.Policy.values())
        raise invalid("policy", f"policy is {asked}; allowed are {known}")
    return policy


def _id(field: str, value: str) -> str:
    if not value:
        raise invalid(field, f"{field} is empty; 1 to {ID_MAX_LENGTH} bytes are allowed")
    return _short(field, value)


def _short(field: str, value: str) -> str:
    size = len(value.encode())
    if size > ID_MAX_LENGTH:
        raise invalid(
            field,
            f"{field} is {shown(value)}, {size} bytes; at most {ID_MAX_LENGTH} are allowed",
        )
    return value
