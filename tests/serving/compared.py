"""An experiment that some users met, as its file and the lake have it."""

from dataclasses import replace
from pathlib import Path

from schemas.lake import IMPRESSIONS, REWARDS
from schemas.types import Exposure
from serving.experiments_follower import ExperimentsFollower
from serving.metrics import Metrics
from tests.stores.lake.lakes import HOUR, impression, message, reward, write

FILE = """
[experiments.ranking]
layer = "page"
traffic = 1.0
start = 2026-09-01T00:00:00Z
end = 2026-10-01T00:00:00Z
conversions = ["click"]
arms = [{ name = "control", weight = 0.5 }, { name = "bold", weight = 0.5 }]
"""


def following(directory: Path) -> ExperimentsFollower:
    """The file, followed."""
    file = directory / "experiments.toml"
    file.write_text(FILE, encoding="utf-8")
    return ExperimentsFollower(file, metrics=Metrics(), every_s=60, now_ms=lambda: HOUR)


def fill(lake: Path) -> None:
    """Three users met it: two the control, one of whom clicked, and one the other arm."""
    answers = [
        replace(
            impression(f"r-{user}", user),
            experiments=(Exposure(experiment_id="ranking", arm=arm),),
        )
        for user, arm in (("u1", "control"), ("u2", "control"), ("u3", "bold"))
    ]
    clicked = replace(reward("b-1", "u1"), request_id="r-u1", action="click")
    told = [message(IMPRESSIONS, one, offset) for offset, one in enumerate(answers)]
    write(lake, [*told, message(REWARDS, clicked, 0)])
