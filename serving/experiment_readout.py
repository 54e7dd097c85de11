"""Reads an experiment out: its arms' rows in the lake become comparisons."""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.experiments import Experiment
from domain.exposures import Tally
from domain.readout import ArmCounts, Readout, read_out
from stores.lake.arms import ArmRow, arm_rows
from stores.lake.sql import Answering


@dataclass(frozen=True, kw_only=True)
class ExperimentReadout:
    """What an experiment shows, and how many users it can't count."""

    experiment: Experiment
    readout: Readout
    left_out: int


def readout_of(experiment: Experiment, answering: Answering) -> ExperimentReadout:
    """Ask the lake; this takes as long as a statement about its answers and rewards takes."""
    rows = arm_rows(answering, experiment.experiment_id, conversions=experiment.conversions)
    counted = tally_of(experiment, rows)
    weights = [arm.weight for arm in experiment.arms]
    return ExperimentReadout(
        experiment=experiment,
        readout=read_out(counted.arms, weights, rules=experiment.rules),
        left_out=counted.left_out,
    )


def tally_of(experiment: Experiment, rows: Iterable[ArmRow]) -> Tally:
    """The counts of an experiment's arms, in their order; users of any other are left out."""
    by_name = {row.arm: row for row in rows}
    arms = [by_name.pop(arm.name, ArmRow(arm.name, 0, 0, 0, 0.0, 0.0)) for arm in experiment.arms]
    return Tally(
        arms=tuple(ArmCounts(**row._asdict()) for row in arms),
        left_out=sum(row.users for row in by_name.values()),
    )
