"""Experiments: who is in which arm, decided by nothing but names, salts and the time.

A layer divides all users into buckets, and its experiments take ranges of them that don't overlap,
so a user is in one experiment of a layer at most. Within an experiment a second hash, by the
experiment's own salt, chooses the arm: arms of one experiment say nothing about those of another,
nor of one that had the same buckets before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from itertools import combinations, groupby
from typing import Literal

from domain.readout import DEFAULT_RULES, ReadoutRules

# A layer is divided this finely: traffic comes in hundredths of a percent.
BUCKETS = 10_000
HASH_BYTES = 8
MANTISSA_SHIFT, MANTISSA_UNIT = 11, 2.0**-53

Posteriors = Literal["shared", "own"]
PolicyName = Literal["thompson", "contextual_thompson", "upper_bound", "epsilon_greedy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an arm does otherwise; None: as without it."""

    exploration_rate: float | None = None
    diversity_weight: float | None = None
    policy: PolicyName | None = None

    def named(self) -> frozenset[str]:
        """What is changed.

        >>> sorted(Changes(policy="thompson", exploration_rate=0.0).named())
        ['exploration_rate', 'policy']
        """
        names = (one.name for one in fields(self))
        return frozenset(name for name in names if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the ways that an experiment compares; `weight` is its share of the experiment."""

    name: str
    weight: float
    posteriors: Posteriors = "shared"
    changes: Changes = Changes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A comparison of arms, the first of which is what the others are compared with.

    It takes `buckets` of its layer's from `first_bucket` on, from `start_ms` until before `end_ms`.
    Users in `overrides` are in the arm named there, and no readout counts them. Any action among
    `conversions` makes a user one who converted.
    """

    experiment_id: str
    salt: str
    layer: str
    first_bucket: int
    buckets: int
    arms: tuple[Arm, ...]
    start_ms: int
    end_ms: int
    overrides: Mapping[str, str] = field(default_factory=dict)
    conversions: frozenset[str] = frozenset({"purchase"})
    rules: ReadoutRules = DEFAULT_RULES

    def runs(self, at_ms: int) -> bool:
        """Whether it takes place at a time."""
        return self.start_ms <= at_ms < self.end_ms

    def holds(self, bucket: int) -> bool:
        """Whether a bucket of its layer is among its own."""
        return self.first_bucket <= bucket < self.first_bucket + self.buckets

    def overlaps(self, other: "Experiment") -> bool:
        """Whether both take place at the same time, however briefly."""
        return self.start_ms < other.end_ms and other.start_ms < self.end_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The arm that a user is in; `forced` by an override rather than by chance."""

    experiment_id: str
    arm: Arm
    forced: bool = False


@dataclass(frozen=True)
class Experiments:
    """All that are defined, found by layer."""

    defined: tuple[Experiment, ...] = ()

    @cached_property
    def layers(self) -> tuple[tuple[str, tuple[Experiment, ...]], ...]:
        """The layers by name, each with its experiments as they were defined."""
        ordered = sorted(self.defined, key=_layer_of)
        return tuple((name, tuple(found)) for name, found in groupby(ordered, key=_layer_of))

    def named(self, experiment_id: str) -> Experiment | None:
        """The experiment of an id, None if there is none.

        >>> Experiments().named("ranking") is None
        True
        """
        found = (one for one in self.defined if one.experiment_id == experiment_id)
        return next(found, None)

    def assigned(self, user_id: str, *, at_ms: int) -> tuple[Assignment, ...]:
        """The arms that a user is in at a time, one a layer at most, by the layers' names.

        >>> both = (Arm(name="control", weight=0.5), Arm(name="bold", weight=0.5))
        >>> ranking = Experiment(experiment_id="ranking", salt="s1", layer="page", first_bucket=0,
        ...     buckets=10_000, arms=both, start_ms=0, end_ms=100)
        >>> [one.arm.name for one in Experiments((ranking,)).assigned("u1", at_ms=5)]
        ['bold']
        >>> Experiments((ranking,)).assigned("u1", at_ms=100)
        ()
        """
        found = (_in_layer(name, members, user_id, at_ms) for name, members in self.layers)
        return tuple(one for one in found if one is not None)


def bucket_of(user_id: str, *, layer: str) -> int:
    """The bucket of a user in a layer, the same on any machine.

    >>> bucket_of("u1", layer="page")
    9027
    """
    return _hashed("layer", layer, user_id) % BUCKETS


def arm_of(experiment: Experiment, user_id: str) -> Arm:
    """The arm that chance gives a user, whether or not the experiment has their bucket.

    >>> one = Arm(name="control", weight=1.0)
    >>> arm_of(Experiment(experiment_id="x", salt="s", layer="l", first_bucket=0, buckets=1,
    ...     arms=(one,), start_ms=0, end_ms=1), "u1").name
    'control'
    """
    share = (_hashed("arm", experiment.salt, user_id) >> MANTISSA_SHIFT) * MANTISSA_UNIT
    left = share * sum(arm.weight for arm in experiment.arms)
    for arm in experiment.arms:
        left -= arm.weight
        if left < 0:
            return arm
    return experiment.arms[-1]


def changes_of(assignments: Sequence[Assignment]) -> Changes:
    """What all arms of a user change together; layers that contradict are refused beforehand.

    >>> greedy = Arm(name="greedy", weight=0.5, changes=Changes(exploration_rate=0.0))
    >>> changes_of([Assignment(experiment_id="x", arm=greedy)]).exploration_rate
    0.0
    """
    together = Changes()
    for one in assignments:
        made = one.arm.changes
        together = replace(together, **{name: getattr(made, name) for name in made.named()})
    return together


def posterior_segment(segment: str, assignments: Sequence[Assignment]) -> str:
    """The segment in which rewards are learned: one of its own for arms with own posteriors.

    >>> own = Arm(name="bold", weight=0.5, posteriors="own")
    >>> posterior_segment("mobile_us_evening", [Assignment(experiment_id="x1", arm=own)])
    'mobile_us_evening~x1.bold'
    """
    own = (one for one in assignments if one.arm.posteriors == "own")
    return segment + "".join(f"~{one.experiment_id}.{one.arm.name}" for one in own)


def contradictions(experiments: Sequence[Experiment]) -> Iterator[str]:
    """Say why experiments can't take place together.

    >>> list(contradictions([]))
    []
    """
    for one, other in combinations(experiments, 2):
        if one.experiment_id == other.experiment_id:
            yield f"experiment {one.experiment_id} is defined twice; give one another id"
        elif one.overlaps(other):
            same = one.layer == other.layer
            yield from _rivals(one, other) if same else _meddlers(one, other)


def disturbances(before: Experiments, after: Experiments, *, at_ms: int) -> Iterator[str]:
    """Say which experiments place users otherwise than before, though they are running.

    >>> list(disturbances(Experiments(), Experiments(), at_ms=0))
    []
    """
    for was in before.defined:
        now = after.named(was.experiment_id)
        if now is None or not (was.runs(at_ms) and now.runs(at_ms)):
            continue
        if _placing(was) != _placing(now):
            yield (
                f"experiment {was.experiment_id} places users otherwise than before; its readout "
                "mixes both: end it, and begin another with an id and a salt of its own"
            )


def _placing(experiment: Experiment) -> tuple[object, ...]:
    """What decides where users are; more buckets only bring more of them."""
    weights = tuple((arm.name, arm.weight) for arm in experiment.arms)
    return experiment.salt, experiment.layer, experiment.first_bucket, weights


def _rivals(one: Experiment, other: Experiment) -> Iterator[str]:
    begins = max(one.first_bucket, other.first_bucket)
    ends = min(one.first_bucket + one.buckets, other.first_bucket + other.buckets)
    names = f"{one.experiment_id} and {other.experiment_id} of layer {one.layer}"
    if begins < ends:
        yield (
            f"{names} both take {_percent(begins)} to {_percent(ends)} of its users at the same "
            "time; move or shrink one range, or give one another layer"
        )
    for user_id in sorted(one.overrides.keys() & other.overrides.keys()):
        yield f"{names} both have an override for {user_id!r}; a user is in one at most"


def _meddlers(one: Experiment, other: Experiment) -> Iterator[str]:
    for name in sorted(_changed_by(one) & _changed_by(other)):
        yield (
            f"{one.experiment_id} of layer {one.layer} and {other.experiment_id} of layer "
            f"{other.layer} both change {name} at the same time; put them into one layer"
        )


def _changed_by(experiment: Experiment) -> frozenset[str]:
    own = {"posteriors"} if any(arm.posteriors == "own" for arm in experiment.arms) else set()
    return frozenset(own).union(*(arm.changes.named() for arm in experiment.arms))


def _percent(bucket: int) -> str:
    return f"{100 * bucket / BUCKETS:g} %"


def _layer_of(experiment: Experiment) -> str:
    return experiment.layer


def _in_layer(
    layer: str, members: Sequence[Experiment], user_id: str, at_ms: int
) -> Assignment | None:
    running = [one for one in members if one.runs(at_ms)]
    for one in running:
        if user_id in one.overrides:
            return _forced(one, one.overrides[user_id])
    bucket = bucket_of(user_id, layer=layer) if running else 0
    for one in running:
        if one.holds(bucket):
            return Assignment(experiment_id=one.experiment_id, arm=arm_of(one, user_id))
    return None


def _forced(experiment: Experiment, name: str) -> Assignment:
    arm = next(arm for arm in experiment.arms if arm.name == name)
    return Assignment(experiment_id=experiment.experiment_id, arm=arm, forced=True)


def _hashed(purpose: str, salt: str, user_id: str) -> int:
    """A whole number of 64 bits. Names and salts have no zero byte, so no two texts are alike."""
    text = f"{purpose}\0{salt}\0{user_id}".encode()
    return int.from_bytes(blake2b(text, digest_size=HASH_BYTES).digest(), "little")
