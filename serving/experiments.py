"""The file of experiments, read strictly.

[experiments.explore-more]
layer = "page"
traffic = 0.1
start = 2026-09-21T00:00:00Z
end = 2026-10-05T00:00:00Z
arms = [
    { name = "control", weight = 0.5 },
    { name = "bold", weight = 0.5, exploration_rate = 0.3, posteriors = "own" },
]
overrides = { "u-17850" = "bold" }
"""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from domain.experiment_header import NAME
from domain.experiments import (
    BUCKETS,
    Arm,
    Changes,
    Experiment,
    Experiments,
    PolicyName,
    Posteriors,
    contradictions,
)
from domain.readout import DEFAULT_RULES, ReadoutRules
from domain.rewards import REWARDS
from serving.requests import Id, to_ms

MOST_ARMS = 20
WEIGHT_SLACK = 1e-6
ACTIONS = (*REWARDS, "view", "dwell")


class ExperimentsError(Exception):
    """The file can't be used; the message names key, value, and what is allowed, line by line."""


def _name(value: str) -> str:
    if NAME.fullmatch(value) is None:
        raise ValueError("a name has 1 to 32 of a-z, 0-9, _ and -, and begins with a letter")
    return value


def _salt(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a salt has printable letters only")
    return value


def _action(value: str) -> str:
    if value not in ACTIONS:
        raise ValueError(f"it is none of {', '.join(ACTIONS)}")
    return value


def _whole_buckets(value: float) -> float:
    if abs(value * BUCKETS - round(value * BUCKETS)) > WEIGHT_SLACK:
        raise ValueError(f"shares go in steps of {1 / BUCKETS:g}")
    return value


Name = Annotated[str, AfterValidator(_name)]
Salt = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_salt)]
Action = Annotated[str, AfterValidator(_action)]
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(_whole_buckets)]


class Table(BaseModel):
    """A part of the file: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ArmTable(Table):
    """An arm, and what it does otherwise."""

    name: Name
    weight: float = Field(gt=0, le=1)
    posteriors: Posteriors = "shared"
    exploration_rate: float | None = Field(None, ge=0, le=1)
    diversity_weight: float | None = Field(None, ge=0, le=1)
    policy: PolicyName | None = None

    def arm(self) -> Arm:
        """The arm as it is assigned."""
        changes = Changes(
            exploration_rate=self.exploration_rate,
            diversity_weight=self.diversity_weight,
            policy=self.policy,
        )
        return Arm(name=self.name, weight=self.weight, posteriors=self.posteriors, changes=changes)


class ExperimentTable(Table):
    """An experiment; `traffic` is its share of the layer's users, from `offset` on."""

    layer: Name
    traffic: Annotated[Share, Field(gt=0)]
    offset: Share = 0.0
    salt: Salt | None = None
    start: AwareDatetime
    end: AwareDatetime
    arms: list[ArmTable] = Field(min_length=2, max_length=MOST_ARMS)
    overrides: dict[Id, str] = {}
    conversions: list[Action] = Field(["purchase"], min_length=1)
    level: float = Field(DEFAULT_RULES.level, gt=0, lt=1)
    sharpest_at: int = Field(DEFAULT_RULES.sharpest_at, ge=200)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        names = [arm.name for arm in self.arms]
        total = sum(arm.weight for arm in self.arms)
        if abs(total - 1) > WEIGHT_SLACK:
            yield f"the arms' weights sum to {total:g}; they have to sum to 1"
        if len(set(names)) < len(names):
            yield f"arms are named {', '.join(names)}; each needs a name of its own"
        for user_id, arm in self.overrides.items():
            if arm not in names:
                yield f"overrides.{user_id} = {arm!r}: the arms are {', '.join(names)}"
        if self.offset + self.traffic > 1 + WEIGHT_SLACK:
            reached = 100 * (self.offset + self.traffic)
            yield f"offset and traffic reach {reached:g} % of the layer; 100 % are there"
        if self.start >= self.end:
            yield f"it ends at {self.end} and starts at {self.start}; it has to start before"

    def experiment(self, experiment_id: str) -> Experiment:
        """The experiment as it is assigned."""
        return Experiment(
            experiment_id=experiment_id,
            salt=self.salt or experiment_id,
            layer=self.layer,
            first_bucket=round(self.offset * BUCKETS),
            buckets=round(self.traffic * BUCKETS),
            arms=tuple(arm.arm() for arm in self.arms),
            start_ms=to_ms(self.start),
            end_ms=to_ms(self.end),
            overrides=dict(self.overrides),
            conversions=frozenset(self.conversions),
            rules=ReadoutRules(level=self.level, sharpest_at=self.sharpest_at),
        )


class FileTable(Table):
    """The whole file."""

    experiments: dict[Name, ExperimentTable] = {}


def load_experiments(path: Path) -> Experiments:
    """Read and check a file; raises `ExperimentsError` with everything that is wrong in it."""
    try:
        tables = FileTable.model_validate(_read(path))
    except ValidationError as error:
        raise ExperimentsError(_told(path, map(_explained, error.errors()))) from error
    defined = [table.experiment(name) for name, table in tables.experiments.items()]
    found = list(contradictions(defined))
    if found:
        raise ExperimentsError(_told(path, found))
    return Experiments(tuple(defined))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExperimentsError(
            f"{path}: can't be read ({reason}); check serving.experiments_file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentsError(f"{path}: is not valid TOML: {error}") from error


def _told(path: Path, problems: Iterable[str]) -> str:
    return "\n".join(f"{path}: {problem}" for problem in problems)


def _explained(detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"] if part != "[key]"]
    key = ".".join(path)
    said = detail["msg"].removeprefix("Value error, ")
    allowed = said[:1].lower() + said[1:]
    if detail["type"] == "extra_forbidden":
        known = ", ".join(_table_at(path[:-1]).model_fields)
        return f"{key}: there is no such key; known here: {known}"
    if isinstance(detail["input"], dict | list | Table):
        return f"{key}: {allowed}"
    return f"{key} = {detail['input']!r}: {allowed}"


def _table_at(path: list[str]) -> type[Table]:
    """The table whose keys stand at a path."""
    if len(path) < 2:
        return FileTable
    return ArmTable if "arms" in path[2:] else ExperimentTable
