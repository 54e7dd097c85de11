import numpy as np
import pytest

from serving.beliefs import BeliefCache, Beliefs, prior_view
from tests.clock import Clock
from tests.serving.pretended import PretendedPosteriors, breaker, posterior

SEGMENT = "mobile_gb_morning"
NORTH = (1.0,) + (0.0,) * 63


async def asked(cache: BeliefCache, *item_ids: str, segment: str = SEGMENT) -> Beliefs:
    return await cache.of(item_ids, segment, features=NORTH, timeout_s=0.1)


def cache_of(posteriors: PretendedPosteriors, clock: Clock | None = None) -> BeliefCache:
    return BeliefCache(
        posteriors, breaker=breaker("redis"), prior=prior_view(1.0, 3.0), clock=clock or Clock()
    )


async def test_what_nobody_was_rewarded_for_is_believed_by_the_prior() -> None:
    posteriors = PretendedPosteriors(learned={("a", SEGMENT): posterior(7.0, 2.0)})
    beliefs = await asked(cache_of(posteriors), "a", "b")
    assert beliefs.arms.alpha.tolist() == [7.0, 1.0]
    assert beliefs.arms.beta.tolist() == [2.0, 3.0]
    assert beliefs.versions == (3, 0)
    assert beliefs.uncertainty == pytest.approx([1 / 3, 1 / 2])
    assert beliefs.arms.weights is None
    assert beliefs.lacking is None


async def test_weights_stand_with_the_items_that_have_some() -> None:
    weights = np.arange(64, dtype=np.float32)
    learned = {("b", SEGMENT): posterior(1.0, 1.0, weights=weights)}
    beliefs = await asked(cache_of(PretendedPosteriors(learned=learned)), "a", "b")
    assert beliefs.arms.weights is not None
    assert beliefs.arms.weights[0].any() == np.False_
    assert beliefs.arms.weights[1].tolist() == weights.tolist()
    assert beliefs.arms.features is not None
    assert beliefs.arms.features.tolist() == list(NORTH)


async def test_an_item_is_read_once_a_second_and_only_those_that_are_due() -> None:
    posteriors, clock = PretendedPosteriors(), Clock()
    cache = cache_of(posteriors, clock)
    await asked(cache, "a", "b")
    await asked(cache, "b", "a")
    assert posteriors.calls == 1
    posteriors.learned["a", SEGMENT] = posterior(9.0, 1.0)
    await asked(cache, "c")
    assert posteriors.calls == 2
    clock.now = 1.1
    beliefs = await asked(cache, "a")
    assert (posteriors.calls, beliefs.arms.alpha.tolist()) == (3, [9.0])


async def test_segments_are_kept_apart() -> None:
    posteriors = PretendedPosteriors(learned={("a", SEGMENT): posterior(9.0, 1.0)})
    cache = cache_of(posteriors)
    here, there = await asked(cache, "a"), await asked(cache, "a", segment="tv_xx_night")
    assert (here.arms.alpha.tolist(), there.arms.alpha.tolist()) == ([9.0], [1.0])


async def test_while_the_store_is_away_it_goes_by_what_it_has() -> None:
    posteriors, clock = PretendedPosteriors(learned={("a", SEGMENT): posterior(9.0, 1.0)}), Clock()
    cache = cache_of(posteriors, clock)
    await asked(cache, "a")
    posteriors.away, clock.now = True, 60.0
    beliefs = await asked(cache, "a", "b")
    assert beliefs.lacking == "redis"
    assert beliefs.arms.alpha.tolist() == [9.0, 1.0]


async def test_no_items_ask_nothing() -> None:
    posteriors = PretendedPosteriors()
    beliefs = await asked(cache_of(posteriors))
    assert (posteriors.calls, len(beliefs.versions)) == (0, 0)
