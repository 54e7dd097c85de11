"""History as a stream: which events it is, when each happened and when each is sent."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from demo.promise import Promise
from demo.purchases import Purchase
from schemas.types import UserEvent

DAY_MS = 86_400_000
# Sent and not yet confirmed: enough to keep the log busy, few enough to stop soon.
IN_FLIGHT = 5_000
# Below this a wait costs more than it gives.
SHORTEST_WAIT_S = 0.001


class Rebase(StrEnum):
    """What becomes of the times in a history that is long past."""

    END = "end"  # the last event happens now, all others as long before it as they were
    LIVE = "live"  # each event happens as it is sent
    NONE = "none"  # as recorded


class ReplayError(Exception):
    """A history can't be replayed as asked; the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """An event, and how long after the start it is due."""

    event: UserEvent
    due_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a history is replayed. Speed 0 sends as fast as the log takes it.

    `run` is part of the event ids: the same run again is a repetition that changes nothing, another
    run is new events.
    """

    speed: float
    rebase: Rebase
    start_ms: int
    run: str = "shop"


def chosen(
    purchases: Iterable[Purchase], *, users: int | None = None, limit: int | None = None
) -> list[Purchase]:
    """Keep the first `users` users to appear, then the first `limit` purchases."""
    kept: list[Purchase] = list(purchases)
    if users is not None:
        first = set(islice(dict.fromkeys(p.user_id for p in kept), users))
        kept = [p for p in kept if p.user_id in first]
    return kept[:limit]


def schedule(purchases: Sequence[Purchase], plan: Plan) -> Iterator[Scheduled]:
    """Turn purchases, oldest first, into events with the moment when each is due."""
    if not purchases:
        return
    first_ms = purchases[0].timestamp_ms
    shift_ms = plan.start_ms - purchases[-1].timestamp_ms if plan.rebase is Rebase.END else 0
    for purchase, event_id in zip(purchases, event_ids(purchases, plan.run), strict=True):
        due_ms = (purchase.timestamp_ms - first_ms) / plan.speed if plan.speed else 0.0
        live = plan.rebase is Rebase.LIVE
        at_ms = plan.start_ms + int(due_ms) if live else purchase.timestamp_ms + shift_ms
        event = to_event(purchase, event_id=event_id, timestamp_ms=at_ms)
        yield Scheduled(event=event, due_s=due_ms / 1000)


def event_ids(purchases: Iterable[Purchase], run: str) -> Iterator[str]:
    """Name each event by run, order and item; an item again in an order gets a number.

    The same history gets the same names each time.
    """
    seen: Counter[str] = Counter()
    for purchase in purchases:
        name = f"{run}:{purchase.order_id}:{purchase.item_id}"
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}:{seen[name]}"


def to_event(purchase: Purchase, *, event_id: str, timestamp_ms: int) -> UserEvent:
    """Say what the sale says and no more: a purchase, in the order as its session."""
    return UserEvent(
        event_id=event_id,
        user_id=purchase.user_id,
        event_type="purchase",
        timestamp_ms=timestamp_ms,
        item_id=purchase.item_id,
        session_id=purchase.order_id,
        quantity=purchase.quantity,
        price=purchase.price,
        country=purchase.country or None,
    )


def refuse_too_old(purchases: Sequence[Purchase], plan: Plan, *, max_age_days: float) -> None:
    """Raise where the stack would refuse the oldest events for their age."""
    if plan.rebase is Rebase.LIVE or not purchases:
        return
    newest_ms = plan.start_ms if plan.rebase is Rebase.NONE else purchases[-1].timestamp_ms
    age_days = (newest_ms - purchases[0].timestamp_ms) / DAY_MS
    if age_days > max_age_days:
        raise ReplayError(
            f"the first event would be {age_days:.0f} days old and events.max_age_days is "
            f"{max_age_days:g}; raise that setting, or use --rebase live"
        )


class Sender:
    """Sends scheduled events when they are due, and holds no more than `in_flight` unconfirmed.

    `send` hands an event to the log and answers with the promise of its confirmation.
    """

    def __init__(
        self,
        *,
        send: Callable[[UserEvent], Promise],
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._send = send
        self._clock = clock
        self._sleep = sleep
        self._in_flight = in_flight
        self._pending: deque[Promise] = deque()
        self.sent = 0
        self.confirmed = 0

    def run(self, scheduled: Iterable[Scheduled]) -> Iterator[UserEvent]:
        """Send one after the other, yielding each once it is handed over; then wait for all."""
        began = self._clock()
        for one in scheduled:
            self._wait_until(began + one.due_s)
            self._pending.append(self._send(one.event))
            self.sent += 1
            self._confirm(at_most=self._in_flight)
            yield one.event
        self._confirm(at_most=0)

    def settle(self) -> None:
        """Wait until everything sent is confirmed; raises the first failure."""
        self._confirm(at_most=0)

    def _wait_until(self, due: float) -> None:
        left_s = due - self._clock()
        if left_s > SHORTEST_WAIT_S:
            self._sleep(left_s)

    def _confirm(self, *, at_most: int) -> None:
        while len(self._pending) > at_most:
            self._pending.popleft().result()
            self.confirmed += 1
