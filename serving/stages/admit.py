"""Takes a checked request in: its times, its limits, its deadline."""

from dataclasses import dataclass, replace

from domain.experiments import Assignment, Changes, changes_of
from serving.catalog import Wanted
from serving.deadline import Deadline
from serving.requests import Constraints, Options, PersonalizeRequest, to_ms


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A request on its way. `at_ms` is the time it speaks of, `now_ms` the time it came.

    `options` are the request's, as far as the arms of experiments leave them alone; `policy` is the
    one that an arm asks for, None for the service's own.
    """

    request: PersonalizeRequest
    request_id: str
    now_ms: int
    at_ms: int
    wanted: Wanted
    deadline: Deadline
    options: Options
    policy: str | None = None
    assignments: tuple[Assignment, ...] = ()

    @property
    def count(self) -> int:
        """How many items are asked for."""
        return self.request.constraints.count


def admit(
    request: PersonalizeRequest,
    *,
    request_id: str,
    now_ms: int,
    deadline: Deadline,
    assignments: tuple[Assignment, ...] = (),
) -> Admitted:
    """Make a request ready for the stages."""
    said, changes = request.context.timestamp, changes_of(assignments)
    return Admitted(
        request=request,
        request_id=request_id,
        now_ms=now_ms,
        at_ms=to_ms(said) if said else now_ms,
        wanted=wanted_of(request.constraints),
        deadline=deadline,
        options=changed(request.options, changes),
        policy=changes.policy,
        assignments=assignments,
    )


def plainly(admitted: Admitted) -> Admitted:
    """The request as it is answered with the least work: nobody is asked, and ranking is all."""
    spared = {"exploration_rate": 0.0, "diversity_weight": 0.0}
    return replace(
        admitted,
        options=admitted.options.model_copy(update=spared),
        deadline=admitted.deadline.ended(),
    )


def changed(options: Options, changes: Changes) -> Options:
    """The options with what arms change; an arm has the last word, or it would compare nothing.

    >>> changed(Options(), Changes(exploration_rate=0.3)).exploration_rate
    0.3
    """
    told = {name: getattr(changes, name) for name in changes.named() & Options.model_fields.keys()}
    return options.model_copy(update=told) if told else options


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
