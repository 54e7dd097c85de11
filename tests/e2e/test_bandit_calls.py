"""Rewards over gRPC in; what they teach out over gRPC, on the real cluster."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceStub
from stack.local import LocalStack
from tests.e2e.streams import eventually, now_ms, start_jobs

pytestmark = pytest.mark.e2e

SEGMENT = "tv_is_night"
FEATURES = (0.5,) * 64
ITEMS = ("called:a", "called:b", "called:new")


@pytest.fixture
def bandit(stack: LocalStack) -> Iterator[Any]:
    """A caller of the service, with the jobs and the writers behind it."""
    start_jobs(stack)
    stack.up("writers", "api")
    serving = stack.settings.serving
    try:
        with grpc.insecure_channel(f"{serving.host}:{serving.grpc_port}") as channel:
            yield BanditServiceStub(channel)
    finally:
        stack.down("api")


def reward(item_id: str, number: int, value: float, **fields: Any) -> pb.UpdateRequest:
    return pb.UpdateRequest(
        item_id=item_id,
        context_segment=SEGMENT,
        reward=value,
        context_features=FEATURES,
        update_id=f"called-{item_id}-{number}",
        shown_at_ms=now_ms(),
        **fields,
    )


def test_rewards_move_what_is_known_and_drawn(bandit: Any) -> None:
    """Forty rewards, each sent twice; a correction; and an item that has none."""
    rewards = [reward("called:a", number, 1.0, explored=True) for number in range(40)]
    rewards.append(reward("called:b", 0, 0.25))
    rewards.append(reward("called:b", 1, 0.5, previous_reward=0.25))
    for one in rewards:
        first, again = bandit.UpdatePosterior(one), bandit.UpdatePosterior(one)
        assert first.update_id == again.update_id == one.update_id
    asked = pb.ParameterRequest(item_ids=ITEMS, context_segment=SEGMENT, include_contextual=True)

    def known() -> list[tuple[int, float, float, int]]:
        return [
            (
                one.version,
                round(one.thompson.alpha, 3),
                round(one.thompson.beta, 3),
                one.statistics.total_impressions,
            )
            for one in bandit.GetParameters(asked).parameters
        ]

    eventually(known, [(40, 41.0, 1.0, 40), (2, 1.5, 1.5, 1), (0, 1.0, 1.0, 0)], within_s=90)
    a, _, new = bandit.GetParameters(asked).parameters
    assert (a.known, new.known) == (True, False)
    assert a.statistics.exploration_count == 40
    assert len(a.contextual.feature_weights) == 64
    assert a.contextual.feature_weights[0] > 0

    drawn = bandit.Sample(
        pb.SampleRequest(item_ids=ITEMS, context_segment=SEGMENT, num_samples=100, seed=1)
    )
    assert not drawn.fallbacks
    assert [one.version for one in drawn.samples] == [40, 2, 0]
    means = [sum(one.sampled_values) / 100 for one in drawn.samples]
    assert means == pytest.approx([41 / 42, 0.5, 0.5], abs=0.1)
