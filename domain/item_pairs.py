"""Which items a session brings together, and what each pairing weighs.

An item is paired with the distinct items met last before it in the session, both ways: it stands
among their neighbours (what follows) and they among its own (so that an item without followers yet
has neighbours too). Of an item met again only what is more than before is told: who viewed it and
then buys it adds the rest of a purchase's weight.
"""

from collections.abc import Iterator, Sequence

from domain.events import ACTION_WEIGHTS
from domain.session import RecentItem
from schemas.types import ItemPair, UserEvent

# Items of a session that an event is paired with, and what each step back in it leaves.
REACH = 5
STEP = 0.8


def pairs_of(
    event: UserEvent, earlier: Sequence[RecentItem], *, log_time_ms: int
) -> list[ItemPair]:
    """What an event adds to the neighbours of its item and of those met before it, newest last.

    >>> event = UserEvent(event_id="e2", user_id="u1", event_type="click", timestamp_ms=9,
    ...                   item_id="saucer")
    >>> for pair in pairs_of(event, [RecentItem("cup", 5, "view")], log_time_ms=10):
    ...     print(pair.item_id, pair.others, pair.weights)
    saucer ('cup',) (0.3,)
    cup ('saucer',) (0.3,)
    """
    item_id = event.item_id
    weight = _weight(event.event_type) - max(
        (_weight(kind) for name, _, kind in earlier if name == item_id), default=0.0
    )
    others = _last_distinct(earlier, without=item_id)
    if item_id is None or weight <= 0.0 or not others:
        return []
    weights = tuple(weight * STEP**back for back in range(len(others)))
    return [
        _pair(event, item_id, others, weights, log_time_ms),
        *(
            _pair(event, other, (item_id,), (one,), log_time_ms)
            for other, one in zip(others, weights, strict=True)
        ),
    ]


def _weight(event_type: str) -> float:
    return max(0.0, ACTION_WEIGHTS.get(event_type, 0.0))


def _last_distinct(earlier: Sequence[RecentItem], *, without: str | None) -> tuple[str, ...]:
    return tuple(_from_latest(earlier, without))[:REACH]


def _from_latest(earlier: Sequence[RecentItem], without: str | None) -> Iterator[str]:
    names = (name for name, _, kind in reversed(earlier) if _weight(kind) > 0.0)
    return (name for name in dict.fromkeys(names) if name != without)


def _pair(
    event: UserEvent,
    item_id: str,
    others: tuple[str, ...],
    weights: tuple[float, ...],
    log_time_ms: int,
) -> ItemPair:
    return ItemPair(
        item_id=item_id,
        event_id=event.event_id,
        timestamp_ms=event.timestamp_ms,
        log_time_ms=log_time_ms,
        others=others,
        weights=weights,
    )
