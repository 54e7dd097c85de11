"""All that Prometheus may ask of freshet, read off the code that counts it.

`python -m freshet.metrics_reference` writes docs/metrics.md; `--check` says whether it is up to
date.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from freshet.generated import keep
from serving.metrics import Metrics as ServiceMetrics
from writers.metrics import Metrics as WriterMetrics

REFERENCE = Path(__file__).parents[1] / "docs" / "metrics.md"

# What a kind of metric is called in queries.
SUFFIXES: Mapping[str, Sequence[str]] = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}

OPERATOR = "flink_taskmanager_job_task_operator_"
OPERATOR_LABELS = ("job_name", "task_name", "operator_name", "subtask_index")
BY_REASON = "reason_dead_letters"
OPERATORS: Mapping[str, str] = {
    "accepted": "Messages taken in",
    "duplicates": "Messages that were known already",
    "stale": "Messages older than what is known",
    "kept": "Messages that the lake keeps",
    "late": "Events that came too late for a window",
    "reason_dead_letters": "Messages that could not be used, by `reason`",
    "erased": "Users forgotten",
    "impressions": "Showings taken in",
    "impressions_repeated": "Showings that were known already",
    "impressions_without_consent": "Showings to users who let nothing be learned",
    "unknown_items": "Events of items without a vector",
    "showings_displaced": "Showings that ended early: others came, and too many were awaited",
    "showings_forced": "Showings that are no lesson: somebody forced what was shown",
    "reactions_forgotten": "Reactions that waited for their showing among too many",
    "reactions_unattributed": "Reactions of which no showing is known",
    "events": "Messages that reached Python",
    "groups": "Groups of messages that reached Python",
    "python_ns": "Nanoseconds spent in Python; over `events`: those of an event",
    "states_written": "States put into RocksDB",
    "state_bytes_written": "Their bytes; over `states_written`: the mean size of a state",
    "cache_misses": "States read from RocksDB",
    "wakes": "Keys whose time had come",
}

# Flink's own that the dashboard shows; it has many more.
ENGINE: Mapping[str, tuple[Sequence[str], str]] = {
    "flink_jobmanager_job_numRestarts": (("job_name",), "Restarts of a job"),
    "flink_jobmanager_job_lastCheckpointDuration": (
        ("job_name",),
        "Milliseconds of the last checkpoint",
    ),
    "flink_jobmanager_job_lastCheckpointSize": (("job_name",), "Bytes of the last checkpoint"),
    "flink_taskmanager_job_task_backPressuredTimeMsPerSecond": (
        ("job_name", "task_name", "subtask_index"),
        "Milliseconds of each second in which a task waits for the next one",
    ),
}

HEAD = """# Metrics

Written by `python -m freshet.metrics_reference` from the code that counts. Labels have few values \
each, and never a user, an item or anything else that somebody sent. A histogram `x` is `x_bucket` \
(with `le`), `x_sum` and `x_count` in queries.

[The dashboard](../docker/grafana/freshet.json) shows them; [observability](observability.md) says \
how to have them scraped.
"""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A metric with its labels."""

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str

    @property
    def series(self) -> tuple[str, ...]:
        """What it is called in queries."""
        return tuple(self.name + suffix for suffix in SUFFIXES[self.kind])

    @property
    def shown(self) -> str:
        """What it is called in the reference."""
        return self.name + ("_total" if self.kind == "counter" else "")


def families_of(metrics: object) -> list[Family]:
    """What a class of ours declares."""
    return [
        family
        for instrument in vars(metrics).values()
        if hasattr(instrument, "collect") and not isinstance(instrument, CollectorRegistry)
        for family in _of_instrument(instrument)
    ]


def _of_instrument(instrument: Any) -> Iterator[Family]:
    # The library shows the labels of an instrument only once each has had a value.
    declared = getattr(instrument, "_labelnames", None)
    for one in instrument.collect():
        found = {label for sample in one.samples for label in sample.labels} - {"le"}
        labels = tuple(sorted(found)) if declared is None else tuple(declared)
        yield Family(
            name=one.name, kind=one.type, labels=labels, says=one.documentation.rstrip(".")
        )


def service() -> list[Family]:
    """Those of the service, at /metrics."""
    return families_of(ServiceMetrics())


def writers() -> list[Family]:
    """Those of the writers, at `writers.metrics_port`."""
    return families_of(WriterMetrics())


def jobs() -> list[Family]:
    """Those of the operators, and some of Flink's, at `flink.metrics_port` and the ports after."""
    ours = [
        Family(name=OPERATOR + name, kind="gauge", labels=_labels(name), says=says)
        for name, says in OPERATORS.items()
    ]
    engine = [
        Family(name=name, kind="gauge", labels=tuple(labels), says=says)
        for name, (labels, says) in ENGINE.items()
    ]
    return ours + engine


def _labels(name: str) -> tuple[str, ...]:
    return (*OPERATOR_LABELS, "reason") if name == BY_REASON else OPERATOR_LABELS


def reference() -> str:
    """The document."""
    return "\n".join(
        [
            HEAD,
            *_section("The service", "At `/metrics` of `serving.port`.", service()),
            *_section("The writers", "At `/metrics` of `writers.metrics_port`.", writers()),
            *_section(
                "The jobs",
                "At `flink.metrics_port` (the JobManager) and the ports after it (the "
                "TaskManagers). Flink exports its counters as gauges; they begin anew with a "
                f"task. Those of operators have the labels {_listed(OPERATOR_LABELS)}, too. All "
                f"but the last {len(ENGINE)} are ours.",
                jobs(),
            ),
        ]
    )


def _section(title: str, where: str, families: Sequence[Family]) -> Iterator[str]:
    yield f"## {title}\n\n{where}\n\n| metric | kind | labels | is |\n|---|---|---|---|"
    for one in families:
        common = OPERATOR_LABELS if one.name.startswith(OPERATOR) else ()
        labels = _listed([label for label in one.labels if label not in common])
        yield f"| `{one.shown}` | {one.kind} | {labels} | {one.says} |"
    yield ""


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def main(arguments: list[str], *, file: Path = REFERENCE) -> int:
    """Write the file, or with `--check` say whether it is up to date."""
    return keep(file, reference(), arguments=arguments, module="freshet.metrics_reference")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
