"""Which items a session brings together, and what each pairing weighs.

An item is paired with the distinct items met last before it in the session, both ways: it stands
among their neighbours (what follows) and they among its own (so that an item without followers yet
has neighbours too). Of an item met again only what is more than before is told: who viewed it and
then buys it adds the rest of a purchase's weight.
"""

from collections.abc import Sequence

from domain.events import ACTION_WEIGHTS
from domain.session import RecentItem
from schemas.types import ItemPair, UserEvent

# Items of a session that an event is paired with, and what each step back in it leaves.
REACH = 5
STEP = 0.8
FADED = tuple(STEP**back for back in range(REACH))
WEIGHTS = {kind: weight for kind, weight in ACTION_WEIGHTS.items() if weight > 0.0}


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
    item_id, weight = event.item_id, WEIGHTS.get(event.event_type)
    if item_id is None or weight is None:
        return []
    counted = [(name, WEIGHTS[kind]) for name, _, kind in reversed(earlier) if kind in WEIGHTS]
    weight -= max([before for name, before in counted if name == item_id], default=0.0)
    others = tuple(dict.fromkeys([name for name, _ in counted if name != item_id]))[:REACH]
    if weight <= 0.0 or not others:
        return []
    weights = tuple([weight * faded for faded in FADED[: len(others)]])
    return [
        _pair(event, item_id, others, weights, log_time_ms),
        *[
            _pair(event, other, (item_id,), (one,), log_time_ms)
            for other, one in zip(others, weights, strict=True)
        ],
    ]


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
