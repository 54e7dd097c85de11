"""What `/v1/experiments/{id}` answers, and how a readout becomes that."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from domain.experiments import Arm
from domain.readout import ArmCounts, Comparison, Interval
from domain.sample_ratio import SampleRatio
from serving.answers import Answer
from serving.experiment_readout import ExperimentReadout

Status = Literal["planned", "running", "ended"]


class IntervalAnswer(Answer):
    """An estimate, and between what the truth lies, however often one looks."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval | None) -> Self | None:
        """None for none."""
        if interval is None:
            return None
        return cls(value=interval.value, low=interval.low, high=interval.high)


class ComparisonAnswer(Answer):
    """An arm beside the control."""

    arm: str
    control: str
    verdict: Literal["undecided", "better", "worse"]
    difference: IntervalAnswer | None = Field(description="null: too few users to say anything")
    lift: IntervalAnswer | None = Field(
        description="the difference as a share of the control's mean; null: that may be 0"
    )
    p_value: float = Field(description="holds at any number of looks")
    level: float = Field(description="of this comparison: the arms share the experiment's")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """The same, as JSON has it."""
        return cls(
            arm=found.arm,
            control=found.control,
            verdict=found.verdict,
            difference=IntervalAnswer.of(found.difference),
            lift=IntervalAnswer.of(found.lift),
            p_value=found.p_value,
            level=found.level,
        )


class ArmAnswer(Answer):
    """What happened in an arm; its users are those who met it."""

    arm: str
    weight: float
    users: int
    exposures: int = Field(description="answers that were made with it")
    conversions: int = Field(description="users who converted")
    value_sum: float = Field(description="rewards of all users together")

    @classmethod
    def of(cls, arm: Arm, counts: ArmCounts) -> Self:
        """The same, as JSON has it."""
        return cls(
            arm=arm.name,
            weight=arm.weight,
            users=counts.users,
            exposures=counts.exposures,
            conversions=counts.conversions,
            value_sum=counts.value_sum,
        )


class SampleRatioAnswer(Answer):
    """Whether users came in the shares that were meant."""

    mismatched: bool = Field(description="true: nothing else here can be trusted")
    chi_square: float
    p_value: float = Field(description="Pearson's; holds for one look")
    p_value_always: float = Field(description="holds at any number of looks")

    @classmethod
    def of(cls, ratio: SampleRatio) -> Self:
        """The same, as JSON has it."""
        return cls(
            mismatched=ratio.mismatched,
            chi_square=ratio.chi_square,
            p_value=ratio.p_value,
            p_value_always=ratio.p_value_always,
        )


class ExperimentAnswer(Answer):
    """What an experiment shows so far."""

    experiment_id: str
    layer: str
    status: Status
    start: str
    end: str
    arms: list[ArmAnswer] = Field(description="the first is the control")
    left_out: int = Field(description="users with an override, or who met several arms")
    sample_ratio: SampleRatioAnswer
    conversions: list[ComparisonAnswer] = Field(description="share of users who converted")
    values: list[ComparisonAnswer] = Field(description="sum of a user's rewards")

    @classmethod
    def of(cls, found: ExperimentReadout, *, now_ms: int) -> Self:
        """The answer at a time."""
        experiment, readout = found.experiment, found.readout
        pairs = zip(experiment.arms, readout.arms, strict=True)
        return cls(
            experiment_id=experiment.experiment_id,
            layer=experiment.layer,
            status=_status(experiment.start_ms, experiment.end_ms, now_ms),
            start=_time(experiment.start_ms),
            end=_time(experiment.end_ms),
            arms=[ArmAnswer.of(arm, counts) for arm, counts in pairs],
            left_out=found.left_out,
            sample_ratio=SampleRatioAnswer.of(readout.ratio),
            conversions=_compared(readout.conversions),
            values=_compared(readout.values),
        )


def _compared(found: Sequence[Comparison]) -> list[ComparisonAnswer]:
    return [ComparisonAnswer.of(one) for one in found]


def _status(start_ms: int, end_ms: int, now_ms: int) -> Status:
    if now_ms < start_ms:
        return "planned"
    return "running" if now_ms < end_ms else "ended"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat().replace("+00:00", "Z")
