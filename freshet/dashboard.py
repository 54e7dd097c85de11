"""The dashboard for Grafana, of few words for each panel.

`python -m freshet.dashboard` writes docker/grafana/freshet.json; `--check` says whether it is up to
date. tests/freshet/test_dashboard.py holds each query against the metrics that there are.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from freshet.generated import keep

DASHBOARD = Path(__file__).parents[1] / "docker" / "grafana" / "freshet.json"

WIDTH, ACROSS, HEIGHT = 24, 3, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'instance=~"$instance"'
OF_JOB = 'job_name=~"$flink_job"'
LISTS = 'path=~"/v1/(personalize|recommendations|similar)"'
DEEDS = 'path=~"/v1/feedback.*|/interactions"'
OPERATOR = "flink_taskmanager_job_task_operator_"
QUANTILES = (0.5, 0.95, 0.99)

Unit = Literal["reqps", "ops", "s", "ms", "short", "percentunit", "bytes", "none", "ns", "cps"]

# What no panel shows, and why.
LEFT_OUT: Mapping[str, str] = {
    "process_virtual_memory_bytes": "resident memory says more",
    "process_max_fds": "a limit; file descriptors in use are shown",
    "python_gc_objects_collected_total": "the number of collections says enough",
    "python_gc_objects_uncollectable_total": "the number of collections says enough",
    "freshet_writers_batch_size": "write times and rates say enough",
    "freshet_hedges_total": "off unless serving.hedge_share is set; calls by outcome are shown",
}


@dataclass(frozen=True, kw_only=True)
class Query:
    """A line, or several, of a panel; `legend` names labels as Grafana does."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A picture."""

    title: str
    unit: Unit
    queries: Sequence[Query]
    says: str = ""
    stacked: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """Pictures of one matter."""

    title: str
    panels: Sequence[Panel]


def per_second(metric: str, *labels: str, where: str = HERE, legend: str = "") -> Query:
    """How fast a counter grows, by labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    shown = legend or " ".join(f"{{{{{label}}}}}" for label in labels)
    return Query(expr=f"sum{by} (rate({metric}{{{where}}}[$__rate_interval]))", legend=shown)


def quantile(share: float, metric: str, *labels: str, where: str = HERE) -> Query:
    """A quantile of a histogram, by labels."""
    by, shown = ", ".join(("le", *labels)), " ".join(f"{{{{{label}}}}}" for label in labels)
    rates = f"sum by ({by}) (rate({metric}_bucket{{{where}}}[$__rate_interval]))"
    name = f"p{share * 100:g}"
    return Query(expr=f"histogram_quantile({share:g}, {rates})", legend=f"{shown} {name}".strip())


def now(metric: str, *labels: str, where: str = HERE, how: str = "sum", legend: str = "") -> Query:
    """What a gauge says, by labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    shown = legend or " ".join(f"{{{{{label}}}}}" for label in labels)
    return Query(expr=f"{how}{by} ({metric}{{{where}}})", legend=shown)


def share(part: str, whole: str, *, legend: str) -> Query:
    """What part of a whole grows."""
    rates = [f"sum(rate({one}[$__rate_interval]))" for one in (part, whole)]
    return Query(expr=f"{rates[0]} / {rates[1]}", legend=legend)


def mean(amount: str, number: str, label: str, *, where: str) -> Query:
    """How much falls on one, by a label."""
    rates = [
        f"sum by ({label}) (rate({one}{{{where}}}[$__rate_interval]))" for one in (amount, number)
    ]
    return Query(expr=" / ".join(rates), legend=f"{{{{{label}}}}}")


def panel(title: str, unit: Unit, *queries: Query, says: str = "", stacked: bool = False) -> Panel:
    """A picture of queries."""
    return Panel(title=title, unit=unit, queries=queries, says=says, stacked=stacked)


HTTP, STAGE, CALL = "freshet_http_seconds", "freshet_stage_seconds", "freshet_dependency_seconds"
ROWS = (
    Row(
        title="Answers",
        panels=(
            panel("Requests", "reqps", per_second(f"{HTTP}_count", "path"), stacked=True),
            panel(
                "Lists: time to answer",
                "s",
                *(quantile(one, HTTP, where=f"{HERE}, {LISTS}") for one in QUANTILES),
            ),
            panel("Answers by status", "reqps", per_second(f"{HTTP}_count", "status")),
            panel(
                "Background work that failed",
                "ops",
                per_second("freshet_background_faults_total", "work"),
                says="a fault of the program; it is begun again a second later",
            ),
            panel(
                "Fallbacks",
                "ops",
                per_second("freshet_fallbacks_total", "fallback"),
                says="STAGE:WHAT_HAPPENED; a list is answered all the same",
            ),
            panel(
                "Shed and degraded",
                "ops",
                per_second(
                    "freshet_fallbacks_total",
                    "fallback",
                    where=f'{HERE}, fallback=~"admit:.*"',
                ),
                per_second(
                    "freshet_errors_total",
                    where=f'{HERE}, code="rate_limited"',
                    legend="refused: over the limit",
                ),
                per_second("freshet_late_answers_total", legend="after the deadline"),
                says="too many at a time, or over a limit; serving.most_under_way, [limits]",
            ),
            panel("Errors", "ops", per_second("freshet_errors_total", "code")),
            panel("Lists under way", "short", now("freshet_requests_under_way", "instance")),
            panel(
                "Mean time to answer",
                "s",
                mean(f"{HTTP}_sum", f"{HTTP}_count", "path", where=HERE),
            ),
            panel(
                "Unknown users",
                "ops",
                per_second("freshet_cold_starts_total", legend="cold starts"),
            ),
        ),
    ),
    Row(
        title="Stages",
        panels=(
            panel("Stages, p50", "s", quantile(0.5, STAGE, "stage")),
            panel("Stages, p99", "s", quantile(0.99, STAGE, "stage")),
            panel(
                "Time spent in stages",
                "percentunit",
                per_second(f"{STAGE}_sum", "stage"),
                says="seconds a second, waiting included",
                stacked=True,
            ),
        ),
    ),
    Row(
        title="Dependencies",
        panels=(
            panel("Calls, p50", "s", quantile(0.5, CALL, "dependency")),
            panel("Calls, p99", "s", quantile(0.99, CALL, "dependency")),
            panel("Calls", "ops", per_second(f"{CALL}_count", "dependency")),
            panel(
                "Errors and timeouts",
                "ops",
                per_second(
                    f"{CALL}_count", "dependency", "outcome", where=f'{HERE}, outcome!="ok"'
                ),
            ),
            panel(
                "Calls that were not made",
                "ops",
                per_second("freshet_dependency_skipped_total", "dependency", "cause"),
            ),
            panel(
                "Breakers",
                "none",
                now("freshet_breaker_open", "dependency", how="max"),
                says="1: open, the dependency is taken for dead and probed each second",
            ),
        ),
    ),
    Row(
        title="Caches and the catalogue",
        panels=(
            panel(
                "Hits",
                "percentunit",
                *(
                    share(
                        f'freshet_cache_total{{{HERE}, cache="{one}", outcome="hit"}}',
                        f'freshet_cache_total{{{HERE}, cache="{one}"}}',
                        legend=one,
                    )
                    for one in ("user", "ranking")
                ),
            ),
            panel("Items in the catalogue", "short", now("freshet_catalog_items", "instance")),
            panel(
                "Catalogue: seconds since it was in step",
                "s",
                Query(
                    expr="time() - min by (instance) "
                    f"(freshet_catalog_refreshed_timestamp_seconds{{{HERE}}})",
                    legend="{{instance}}",
                ),
                per_second("freshet_catalog_refresh_failures_total", legend="failures a second"),
            ),
            panel(
                "Candidates that the catalogue doesn't know",
                "ops",
                per_second("freshet_unknown_items_total", "source"),
            ),
        ),
    ),
    Row(
        title="Feedback and Kafka",
        panels=(
            panel(
                "Feedback", "ops", per_second("freshet_feedback_events_total", "action", "outcome")
            ),
            panel(
                "Feedback: time to accept",
                "s",
                *(quantile(one, HTTP, where=f"{HERE}, {DEEDS}") for one in QUANTILES),
            ),
            panel(
                "Kept while Kafka is away",
                "short",
                now("freshet_waiting_feedback", legend="waiting"),
                per_second("freshet_kept_feedback_total", "outcome"),
            ),
            panel("Impressions", "ops", per_second("freshet_impressions_total", "outcome")),
            panel("Impressions that wait", "short", now("freshet_impression_queue", "instance")),
            panel(
                "Answers whose making is kept",
                "ops",
                per_second("freshet_traces_total", "outcome"),
                says="to explain and replay them; all other outcomes are left out",
            ),
        ),
    ),
    Row(
        title="Posteriors and exploration",
        panels=(
            panel(
                "Places given to exploration",
                "percentunit",
                share(
                    f'freshet_shown_items_total{{{HERE}, source="exploration"}}',
                    f"freshet_shown_items_total{{{HERE}}}",
                    legend="of all places",
                ),
            ),
            panel(
                "Places by source",
                "ops",
                per_second("freshet_shown_items_total", "source"),
                stacked=True,
            ),
            panel(
                "Bandit calls", "reqps", per_second("freshet_grpc_seconds_count", "method", "code")
            ),
            panel("Bandit calls, p99", "s", quantile(0.99, "freshet_grpc_seconds", "method")),
            panel(
                "Rewards taken in by bandit_posteriors",
                "ops",
                per_second(
                    f"{OPERATOR}accepted", where='job_name="bandit_posteriors"', legend="accepted"
                ),
                per_second(
                    f"{OPERATOR}duplicates",
                    where='job_name="bandit_posteriors"',
                    legend="known already",
                ),
            ),
            panel(
                "Reward to posterior in Redis",
                "s",
                *(
                    quantile(
                        one,
                        "freshet_writers_freshness_seconds",
                        where='topic="bandit-posteriors"',
                    )
                    for one in QUANTILES
                ),
            ),
        ),
    ),
    Row(
        title="Language model",
        panels=(
            panel(
                "Selected, by rule", "reqps", per_second("freshet_reasoner_selected_total", "rule")
            ),
            panel(
                "Selected, and not asked for",
                "reqps",
                per_second("freshet_reasoner_left_out_total", "why"),
            ),
            panel(
                "Calls",
                "reqps",
                per_second("freshet_reasoner_asked_total", legend="asked"),
                per_second("freshet_reasoner_answered_total", legend="answered"),
            ),
            panel(
                "Texts",
                "ops",
                per_second("freshet_reasoner_texts_total", legend="may be shown"),
                per_second("freshet_reasoner_refused_total", "why"),
            ),
            panel("Tokens", "ops", per_second("freshet_reasoner_tokens_total", "kind")),
        ),
    ),
    Row(
        title="Experiments",
        panels=(
            panel("Defined", "short", now("freshet_experiments", "instance", how="max")),
            panel(
                "File refused",
                "none",
                now("freshet_experiments_refused", "instance", how="max"),
                says="1: the file can't be used, what it said before holds; the log says why. What "
                "the arms did is at GET /v1/experiments/{id}",
            ),
        ),
    ),
    Row(
        title="Streams: freshness and lag",
        panels=(
            panel(
                "Event to store, p50 and p99",
                "s",
                *(
                    quantile(one, "freshet_writers_freshness_seconds", "store", "topic", where="")
                    for one in (0.5, 0.99)
                ),
            ),
            panel(
                "Messages that wait for a writer",
                "short",
                now("freshet_writers_lag", "store", "topic", where=""),
            ),
            panel(
                "Records written",
                "ops",
                per_second("freshet_writers_records_total", "store", "topic", where=""),
                per_second(
                    "freshet_writers_replaced_total",
                    "store",
                    where="",
                    legend="{{store}} replaced before",
                ),
            ),
            panel(
                "Writes, p99",
                "s",
                quantile(0.99, "freshet_writers_write_seconds", "store", where=""),
            ),
            panel(
                "Stores that take writes",
                "none",
                now("freshet_writers_store_up", "store", where="", how="min"),
                per_second(
                    "freshet_writers_errors_total",
                    "store",
                    where="",
                    legend="{{store}} errors a second",
                ),
            ),
            panel(
                "Dead letters",
                "ops",
                per_second("freshet_writers_dead_letters_total", "store", "reason", where=""),
                per_second(f"{OPERATOR}reason_dead_letters", "job_name", "reason", where=OF_JOB),
            ),
            panel(
                "Messages in jobs", "ops", per_second(f"{OPERATOR}events", "job_name", where=OF_JOB)
            ),
            panel(
                "Time of a message in Python",
                "ns",
                mean(f"{OPERATOR}python_ns", f"{OPERATOR}events", "job_name", where=OF_JOB),
            ),
            panel(
                "Back-pressure",
                "ms",
                now(
                    "flink_taskmanager_job_task_backPressuredTimeMsPerSecond",
                    "job_name",
                    where=OF_JOB,
                    how="max",
                ),
                says="milliseconds of each second that the worst subtask waits",
            ),
            panel(
                "Last checkpoint",
                "ms",
                now(
                    "flink_jobmanager_job_lastCheckpointDuration",
                    "job_name",
                    where=OF_JOB,
                    how="max",
                ),
            ),
            panel(
                "Size of the last checkpoint",
                "bytes",
                now("flink_jobmanager_job_lastCheckpointSize", "job_name", where=OF_JOB, how="max"),
            ),
            panel(
                "Restarts",
                "short",
                now("flink_jobmanager_job_numRestarts", "job_name", where=OF_JOB, how="max"),
            ),
        ),
    ),
    Row(
        title="Process and traces",
        panels=(
            panel("CPU", "percentunit", per_second("process_cpu_seconds_total", "instance")),
            panel("Memory", "bytes", now("process_resident_memory_bytes", "instance")),
            panel("Open files", "short", now("process_open_fds", "instance")),
            panel(
                "Collections of garbage",
                "ops",
                per_second("python_gc_collections_total", "generation"),
            ),
            panel("Spans of traces", "ops", per_second("freshet_spans_total", "outcome")),
            panel(
                "Versions",
                "none",
                Query(
                    expr=f"count by (version, python) (freshet_build_info{{{HERE}}})",
                    legend="freshet {{version}}, Python {{python}}",
                ),
                Query(
                    expr=f"time() - min by (instance) (process_start_time_seconds{{{HERE}}})",
                    legend="{{instance}}: seconds since its start",
                ),
            ),
        ),
    ),
)


def queries() -> Iterator[Query]:
    """Every query of every panel."""
    return (query for row in ROWS for one in row.panels for query in one.queries)


def dashboard() -> dict[str, Any]:
    """As Grafana reads it."""
    return {
        "uid": "freshet",
        "title": "freshet",
        "tags": ["freshet"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *_variables()]},
        "panels": list(_panels()),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}


def _variables() -> Iterator[dict[str, Any]]:
    for name, label, asked in (
        ("instance", "Service", "label_values(freshet_build_info, instance)"),
        ("flink_job", "Job", f"label_values({OPERATOR}events, job_name)"),
    ):
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": SOURCE,
            "definition": asked,
            "query": {"query": asked, "refId": name},
            "refresh": 2,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        }


def _panels() -> Iterator[dict[str, Any]]:
    ids, y = count(1), 0
    for row in ROWS:
        yield {
            "id": next(ids),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            "panels": [],
        }
        for place, one in enumerate(row.panels):
            across, down = place % ACROSS, place // ACROSS
            width = WIDTH // ACROSS
            at = {"x": across * width, "y": y + 1 + down * HEIGHT, "w": width, "h": HEIGHT}
            yield _drawn(one, at, number=next(ids))
        y += 1 + -(-len(row.panels) // ACROSS) * HEIGHT


def _drawn(one: Panel, at: Mapping[str, int], *, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": one.title,
        "description": one.says,
        "datasource": SOURCE,
        "gridPos": dict(at),
        "fieldConfig": {
            "defaults": {
                "unit": one.unit,
                "min": 0,
                "custom": {
                    "fillOpacity": 20 if one.stacked else 0,
                    "stacking": {"mode": "normal" if one.stacked else "none"},
                    "showPoints": "never",
                },
            },
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(one.queries)
        ],
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main(arguments: list[str], *, file: Path = DASHBOARD) -> int:
    """Write the file, or with `--check` say whether it is up to date."""
    return keep(file, text(), arguments=arguments, module="freshet.dashboard")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
