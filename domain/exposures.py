"""Counts each user in the arm that they met: the definition that the lake's SQL is held against.

A user counts from the first answer that was made with the experiment. What they then did counts
where it was a reaction to such an answer, so never what came before. Left out are users with an
override, and users who met several arms, as happens when an experiment is changed on its way.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from domain.experiments import Experiment
from domain.readout import ArmCounts
from schemas.types import BanditUpdate, Impression


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of each arm, in the order of the arms, and how many users were left out."""

    arms: tuple[ArmCounts, ...]
    left_out: int


@dataclass(slots=True)
class _Met:
    """What a user met, and what they did then."""

    arms: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    forced: bool = False
    converted: bool = False
    value: float = 0.0

    @property
    def counts(self) -> bool:
        return len(self.arms) == 1 and not self.forced


def tally(
    experiment: Experiment, answers: Iterable[Impression], rewards: Iterable[BanditUpdate]
) -> Tally:
    """Count an experiment's users; answers and rewards that are told twice count once.

    >>> from domain.experiments import Arm
    >>> from schemas.types import Exposure
    >>> both = (Arm(name="a", weight=0.5), Arm(name="b", weight=0.5))
    >>> one = Experiment(experiment_id="x", salt="x", layer="l", first_bucket=0, buckets=10_000,
    ...     arms=both, start_ms=0, end_ms=9)
    >>> answer = Impression(request_id="r", user_id="u", timestamp_ms=1,
    ...     experiments=(Exposure(experiment_id="x", arm="b"),))
    >>> [arm.users for arm in tally(one, [answer], []).arms]
    [0, 1]
    """
    met = _met(experiment.experiment_id, answers)
    for update in {one.update_id: one for one in rewards}.values():
        user = met.get(update.user_id or "")
        if user is not None and update.request_id in user.requests:
            user.value += update.reward - (update.previous_reward or 0.0)
            user.converted |= update.action in experiment.conversions
    names = [arm.name for arm in experiment.arms]
    counted = [user for user in met.values() if user.counts and user.arms <= set(names)]
    return Tally(arms=tuple(_arms(names, counted)), left_out=len(met) - len(counted))


def _met(experiment_id: str, answers: Iterable[Impression]) -> dict[str, _Met]:
    met: defaultdict[str, _Met] = defaultdict(_Met)
    for answer in answers:
        for exposure in answer.experiments:
            if exposure.experiment_id == experiment_id:
                user = met[answer.user_id]
                user.arms.add(exposure.arm)
                user.requests.add(answer.request_id)
                user.forced |= exposure.forced
    return met


def _arms(names: Sequence[str], users: Sequence[_Met]) -> Iterator[ArmCounts]:
    for name in names:
        own = [user for user in users if name in user.arms]
        yield ArmCounts(
            arm=name,
            users=len(own),
            exposures=sum(len(user.requests) for user in own),
            conversions=sum(user.converted for user in own),
            value_sum=sum(user.value for user in own),
            value_squares=sum(user.value**2 for user in own),
        )
