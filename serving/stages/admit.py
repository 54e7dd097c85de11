"""Takes a checked request in: its times, its limits, its deadline."""

from dataclasses import dataclass

from serving.catalog import Wanted
from serving.deadline import Deadline
from serving.requests import Constraints, PersonalizeRequest, to_ms


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A request on its way. `at_ms` is the time it speaks of, `now_ms` the time it came."""

    request: PersonalizeRequest
    request_id: str
    now_ms: int
    at_ms: int
    wanted: Wanted
    deadline: Deadline

    @property
    def count(self) -> int:
        """How many items are asked for."""
        return self.request.constraints.count


def admit(
    request: PersonalizeRequest, *, request_id: str, now_ms: int, deadline: Deadline
) -> Admitted:
    """Make a request ready for the stages."""
    said = request.context.timestamp
    return Admitted(
        request=request,
        request_id=request_id,
        now_ms=now_ms,
        at_ms=to_ms(said) if said else now_ms,
        wanted=wanted_of(request.constraints),
        deadline=deadline,
    )


def wanted_of(constraints: Constraints) -> Wanted:
    """The limits of a list.

    >>> wanted_of(Constraints(categories=["mugs"])).categories
    ('mugs',)
    """
    prices = constraints.price_range
    return Wanted(
        categories=tuple(constraints.categories),
        exclude=frozenset(constraints.exclude_items),
        min_price=prices.min if prices else None,
        max_price=prices.max if prices else None,
        min_quality=constraints.min_quality_score,
    )
