"""Answers the calls of the contract."""

from collections.abc import Callable
from typing import Any

import grpc

from serving.bandit.asked import draws_of, item_ids_of, segment_of
from serving.bandit.beliefs import BeliefReader
from serving.bandit.draws import parameters_of, samples_of
from serving.bandit.rewards import RETRY_AFTER_S, RewardIntake
from serving.breaker import DependencyUnavailableError
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.contracts.freshet.bandit.v1.bandit_pb2_grpc import BanditServiceServicer
from serving.metrics import Metrics
from serving.rpc.gate import time_left_s
from serving.rpc.refusals import unavailable

Context = grpc.aio.ServicerContext[Any, Any]


class BanditService(BanditServiceServicer):
    """Rewards in, draws and parameters out."""

    def __init__(
        self,
        *,
        beliefs: BeliefReader,
        intake: RewardIntake,
        metrics: Metrics,
        draw_seed: Callable[[], int],
    ) -> None:
        self._beliefs = beliefs
        self._intake = intake
        self._metrics = metrics
        self._draw_seed = draw_seed

    async def UpdatePosterior(  # noqa: N802
        self, request: pb.UpdateRequest, context: Context
    ) -> pb.UpdateResponse:
        """Take a reward."""
        update = await self._intake.accept(request, left_s=time_left_s(context))
        return pb.UpdateResponse(update_id=update.update_id, accepted_at_ms=update.log_time_ms)

    async def Sample(  # noqa: N802
        self, request: pb.SampleRequest, context: Context
    ) -> pb.SampleResponse:
        """Draw; from the priors while the store is away."""
        asked, fallbacks = draws_of(request), []
        try:
            views = await self._beliefs.read(
                asked.item_ids, asked.segment, left_s=time_left_s(context)
            )
        except DependencyUnavailableError as error:
            views = [self._beliefs.prior] * len(asked.item_ids)
            fallbacks.append(f"posteriors:{error.dependency}_unavailable")
            self._metrics.fallbacks.labels(fallbacks[0]).inc()
        seed = self._draw_seed() if asked.seed is None else asked.seed
        return pb.SampleResponse(
            samples=samples_of(asked, views, seed=seed),
            policy=asked.policy,
            seed=seed,
            fallbacks=fallbacks,
        )

    async def GetParameters(  # noqa: N802
        self, request: pb.ParameterRequest, context: Context
    ) -> pb.ParameterResponse:
        """Tell what is known; a prior would be no answer while the store is away."""
        items = item_ids_of(request.item_ids)
        segment = segment_of(request.context_segment)
        try:
            views = await self._beliefs.read_or_again(items, segment, left_s=time_left_s(context))
        except DependencyUnavailableError as error:
            raise unavailable(
                f"the posteriors can't be read ({error.cause}); try again in a moment",
                retry_after_s=RETRY_AFTER_S,
            ) from error
        return pb.ParameterResponse(
            parameters=[
                parameters_of(item, segment, view, contextual=request.include_contextual)
                for item, view in zip(items, views, strict=True)
            ]
        )
