"""Takes rewards into the event log. The posterior itself is changed by the job alone.

The topic is one of deltas, so a reward must not count twice. What the jobs write is in it exactly
once; what comes from outside is known by its id. The producer sends again what Kafka did not
confirm, and may so write all that it had under way a second time, next to the first. The job knows
the last `streams.bandit_dedup_ids` ids of an item in a segment; so that a repetition is always
among them, at most a quarter as many rewards of one posterior are under way from one process.
A caller who repeats a reward, having seen no answer, is known by the same ids for as long as the
item has had fewer other rewards in the segment since.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.bandit import key_of
from domain.events import EventLimits
from schemas.topics import BANDIT_UPDATES
from schemas.types import BanditUpdate
from serving.bandit.asked import update_of
from serving.bandit.turns import Turns
from serving.breaker import Breaker, DependencyUnavailableError
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb
from serving.ports import Log
from serving.rpc.refusals import RefusedCallError, too_late, unavailable

RETRY_AFTER_S = 2


def turns_of(dedup_ids: int) -> Turns:
    """How many rewards of one posterior may be under way, by how many ids its job remembers."""
    return Turns(max(1, dedup_ids // 4))


@dataclass(frozen=True, kw_only=True, eq=False)
class RewardIntake:
    """Accepts a reward once it is in the log."""

    event_log: Log
    breaker: Breaker
    turns: Turns
    limits: EventLimits
    timeout_s: float
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, request: pb.UpdateRequest, *, left_s: float | None) -> BanditUpdate:
        """The update, after Kafka's word; `RefusedCallError` where it can't be accepted."""
        update = update_of(request, now_ms=self.now_ms(), limits=self.limits, new_id=self.new_id)
        # A turn may take as long as one call before it; then comes this call's own.
        patience_s = 2 * self.timeout_s
        hurried = left_s is not None and left_s < patience_s
        try:
            async with asyncio.timeout(left_s if hurried else patience_s):
                await self._append(update)
        except TimeoutError as error:
            raise _no_word(update, hurried=hurried) from error
        except DependencyUnavailableError as error:
            raise _not_taken(update, error.cause) from error
        return update

    async def _append(self, update: BanditUpdate) -> None:
        """Write it when its turn comes, and keep the turn until Kafka's word, waited for or not."""
        key = key_of(update.item_id, update.context_segment)
        await self.turns.take(key)
        writing = asyncio.create_task(self._write(key, update))
        self._under_way.add(writing)
        writing.add_done_callback(self._done)
        await asyncio.shield(writing)

    async def _write(self, key: str, update: BanditUpdate) -> None:
        try:
            await self.breaker.call(
                lambda: self.event_log.append(BANDIT_UPDATES, key, update),
                timeout_s=self.timeout_s,
            )
        finally:
            self.turns.give_back(key)

    def _done(self, writing: asyncio.Task[None]) -> None:
        self._under_way.discard(writing)
        if not writing.cancelled():
            # Nobody may be left to hear of it.
            writing.exception()


def _not_taken(update: BanditUpdate, cause: str) -> RefusedCallError:
    return unavailable(
        f"the event log did not take the reward ({cause}); {_again(update)}",
        retry_after_s=RETRY_AFTER_S,
    )


def _no_word(update: BanditUpdate, *, hurried: bool) -> RefusedCallError:
    if not hurried:
        return _not_taken(update, "no turn in time")
    return too_late(f"the event log gave no word in the time of the call; {_again(update)}")


def _again(update: BanditUpdate) -> str:
    return f"send it again with update_id {update.update_id!r}, and it counts once"
