"""The show: a list, a few events, and the list again, with the time in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from demo.service import Answer, Service
from demo.story import Customer, Shop, Theme

COUNT = 10
POLL_S = 0.02
LIMIT_S = 15.0


class ShowError(Exception):
    """The list did not do what it should; the message says what was seen."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the show has seen. Times run from just before the events were sent."""

    customer: Customer
    theme: Theme
    before: Answer
    after: Answer
    accepted: int
    changed_ms: float
    complete_ms: float

    @property
    def new_ids(self) -> tuple[str, ...]:
        """Items that were not in the list before."""
        return tuple(item for item in self.after.ids if item not in self.before.ids)

    @property
    def of_theme(self) -> tuple[int, int]:
        """How many items of the theme were in the list before and after."""
        return _count(self.before, self.theme), _count(self.after, self.theme)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the show takes place; `session` names this show in the events' request id."""

    service: Service
    shop: Shop
    session: str
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


async def play(
    stage: Stage,
    *,
    on_before: Callable[[Customer, Answer], None],
    on_theme: Callable[[Theme], None],
) -> Outcome:
    """Ask, act, and ask until the answer knows it all; raises ShowError if it stays the same."""
    customer = stage.shop.customer()
    before = await _ask(stage, customer.user_id)
    on_before(customer, before)
    categories = {item.category for item in before.items if item.category}
    theme = stage.shop.theme(customer.user_id, shown=categories)
    on_theme(theme)
    began = stage.clock()
    accepted = await stage.service.feedback(
        customer.user_id, theme.acts, request_id=f"{stage.session}-{before.request_id}"
    )
    after, changed_ms, complete_ms = await _watch(
        stage, customer.user_id, before, accepted=accepted, began=began
    )
    shown = Outcome(
        customer=customer,
        theme=theme,
        before=before,
        after=after,
        accepted=accepted,
        changed_ms=changed_ms,
        complete_ms=complete_ms,
    )
    _require_theme(shown)
    return shown


async def _watch(
    stage: Stage, user_id: str, before: Answer, *, accepted: int, began: float
) -> tuple[Answer, float, float]:
    """Ask again and again until the answer is another one and is made of all the events."""
    changed_ms: float | None = None
    while True:
        answer = await _ask(stage, user_id)
        now_ms = (stage.clock() - began) * 1000
        if changed_ms is None and answer.ids != before.ids:
            changed_ms = now_ms
        complete = answer.user_version >= before.user_version + accepted
        if complete and changed_ms is not None:
            return answer, changed_ms, now_ms
        if now_ms > LIMIT_S * 1000:
            raise ShowError(_unchanged(before, answer, accepted))
        await stage.sleep(POLL_S)


def _unchanged(before: Answer, answer: Answer, accepted: int) -> str:
    counted = answer.user_version - before.user_version
    if counted < accepted:
        return f"after {LIMIT_S:g} s an answer knows {counted} of {accepted} events"
    return f"an answer knows all {accepted} events and is the same list as before"


def _require_theme(shown: Outcome) -> None:
    """A list that changed without the theme did not react to the events."""
    before, after = shown.of_theme
    if after <= before:
        raise ShowError(
            f"the list changed, but has {after} items of {shown.theme.category} after "
            f"{shown.accepted} events about it, and had {before} before"
        )


def _count(answer: Answer, theme: Theme) -> int:
    return sum(item.category == theme.category for item in answer.items)


async def _ask(stage: Stage, user_id: str) -> Answer:
    return await stage.service.personalize(user_id, count=COUNT, explain=True)
