from dataclasses import dataclass, field

from serving.belief_feed import PAGE, SILENCE_S, BeliefFeed
from serving.beliefs import FOLLOWED_S, FRESH_S, BeliefCache, prior_view
from stores.errors import StoreUnavailable
from stores.posteriors import PosteriorChange
from tests.clock import Clock
from tests.serving.pretended import PretendedPosteriors, breaker, posterior

SEGMENT = "mobile_gb_morning"


@dataclass
class PretendedChanges:
    """The list of changes; ids are their places."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    away: bool = False

    async def latest_change(self) -> str:
        self._check()
        return str(len(self.pairs))

    async def changed_after(self, change_id: str, *, limit: int) -> list[PosteriorChange]:
        self._check()
        first = int(change_id)
        return [
            PosteriorChange(str(place + 1), *pair)
            for place, pair in enumerate(self.pairs[first : first + limit], start=first)
        ]

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("Redis", "it is away")


class World:
    """A cache that is followed, with time at hand."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.posteriors = PretendedPosteriors(learned={("a", SEGMENT): posterior(7.0, 2.0)})
        self.cache = BeliefCache(
            self.posteriors, breaker=breaker("redis"), prior=prior_view(1, 1), clock=self.clock
        )
        self.changes = PretendedChanges()
        self.feed = BeliefFeed(self.changes, self.cache, clock=self.clock)

    async def alpha(self, item_id: str = "a", *others: str) -> float:
        found = await self.cache.of([item_id, *others], SEGMENT, features=(), timeout_s=0.1)
        return float(found.arms.alpha[0])

    def learn(self, alpha: float, *, told: bool = True) -> None:
        self.posteriors.learned["a", SEGMENT] = posterior(alpha, 2.0)
        if told:
            self.changes.pairs.append(("a", SEGMENT))


async def test_what_is_followed_is_read_again_when_it_changes_and_not_before() -> None:
    world = World()
    await world.feed.follow()
    assert await world.alpha("a", "b") == 7.0
    world.clock.now = FRESH_S + 0.5
    await world.feed.follow()
    assert await world.alpha("a", "b") == 7.0
    assert world.posteriors.calls == 1
    world.learn(8.0)
    await world.feed.follow()
    assert await world.alpha("a", "b") == 8.0
    assert world.posteriors.asked[-1] == (("a",), SEGMENT)


async def test_what_nobody_follows_is_read_again_after_a_second() -> None:
    world = World()
    await world.feed.follow()
    assert await world.alpha() == 7.0
    world.changes.away = True
    await world.feed.try_follow()
    world.learn(8.0)
    assert await world.alpha() == 7.0
    world.clock.now = FRESH_S + 0.1
    assert await world.alpha() == 8.0


async def test_what_was_missed_is_found_in_a_minute() -> None:
    world = World()
    await world.feed.follow()
    assert await world.alpha() == 7.0
    world.learn(8.0, told=False)
    world.clock.now = FOLLOWED_S - 0.1
    world.cache.followed()
    assert await world.alpha() == 7.0
    world.clock.now = FOLLOWED_S + 0.1
    assert await world.alpha() == 8.0


async def test_a_change_during_a_read_is_not_hidden_by_it() -> None:
    world = World()
    await world.feed.follow()
    read = world.posteriors.many

    async def overtaken(item_ids: tuple[str, ...], segment: str) -> list[object]:
        found = await read(item_ids, segment)
        world.learn(8.0)
        await world.feed.follow()
        return list(found)

    world.posteriors.many = overtaken  # type: ignore[assignment,method-assign]
    assert await world.alpha() == 7.0
    world.posteriors.many = read  # type: ignore[method-assign]
    world.clock.now = FRESH_S + 0.1
    await world.feed.follow()
    assert await world.alpha() == 8.0


async def test_after_a_silence_everything_is_read_again() -> None:
    world = World()
    await world.feed.follow()
    assert await world.alpha() == 7.0
    world.learn(8.0, told=False)
    world.clock.now = SILENCE_S + 0.1
    await world.feed.follow()
    assert await world.alpha() == 8.0


async def test_many_changes_are_taken_page_by_page() -> None:
    world = World()
    await world.feed.follow()
    assert await world.alpha() == 7.0
    world.changes.pairs.extend(("other", SEGMENT) for _ in range(PAGE))
    world.learn(8.0)
    await world.feed.follow()
    assert await world.alpha() == 8.0
