"""The dashboard asks for what there is, and shows all that there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from freshet import dashboard, metrics_reference
from freshet.dashboard import DASHBOARD, LEFT_OUT, Query
from freshet.metrics_reference import Family
from serving.access import ACCESS
from settings import Settings

# What Prometheus adds to whatever it scrapes.
ADDED = {"instance", "job"}
CHILDREN = ("expr", "args", "lhs", "rhs", "param")
FAMILIES = [
    *metrics_reference.service(),
    *metrics_reference.writers(),
    *metrics_reference.jobs(),
]
BY_SERIES: dict[str, Family] = {series: one for one in FAMILIES for series in one.series}
QUERIES = [
    Query(expr=target["expr"], legend=target["legendFormat"])
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for target in panel.get("targets", ())
]


def parsed(query: Query) -> Any:
    """A query with Grafana's variables filled in."""
    filled = query.expr.replace("$__rate_interval", "5m")
    return promql.parse(re.sub(r"\$\w+", ".*", filled))


def nodes(node: Any) -> Iterator[Any]:
    """A query with all that is inside."""
    yield node
    inner = [getattr(node, name, None) for name in CHILDREN]
    if isinstance(node, promql.MatrixSelector):
        inner.append(node.vector_selector)
    for one in inner:
        for child in one if isinstance(one, list) else [one]:
            if isinstance(child, promql.Expr):
                yield from nodes(child)


def selectors(query: Query) -> list[Any]:
    return [one for one in nodes(parsed(query)) if isinstance(one, promql.VectorSelector)]


def labels_of(series: str) -> set[str]:
    bucket = {"le"} if series.endswith("_bucket") else set()
    return {*BY_SERIES[series].labels, *ADDED, *bucket}


def grouped(query: Query) -> set[str]:
    """The labels that a query sums up by."""
    aggregates = [one for one in nodes(parsed(query)) if isinstance(one, promql.AggregateExpr)]
    return {label for one in aggregates if one.modifier for label in one.modifier.labels}


@pytest.mark.parametrize("query", QUERIES, ids=lambda one: one.expr[:60])
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: Query) -> None:
    asked = selectors(query)
    assert asked
    for one in asked:
        assert one.name in BY_SERIES
        known = labels_of(one.name)
        assert {matcher.name for matcher in one.matchers.matchers} <= known
        assert grouped(query) <= known
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= grouped(query)


@pytest.mark.parametrize("query", QUERIES, ids=lambda one: one.expr[:60])
def test_counters_are_asked_how_fast_they_grow_and_gauges_what_they_say(query: Query) -> None:
    rated = {
        one.name
        for call in nodes(parsed(query))
        if isinstance(call, promql.Call) and call.func.name == "rate"
        for one in nodes(call)
        if isinstance(one, promql.VectorSelector)
    }
    for one in selectors(query):
        # Flink exports its counters as gauges.
        counts = one.name.startswith(metrics_reference.OPERATOR)
        grows = counts or BY_SERIES[one.name].kind in {"counter", "histogram"}
        assert (one.name in rated) is grows


@pytest.mark.parametrize(
    "family",
    [*metrics_reference.service(), *metrics_reference.writers()],
    ids=lambda one: one.name,
)
def test_a_metric_is_shown_or_left_out_for_a_reason(family: Family) -> None:
    shown = {one.name for query in QUERIES for one in selectors(query)}
    is_left_out = bool({family.name, family.shown} & LEFT_OUT.keys())
    assert bool(shown & set(family.series)) is not is_left_out


def test_what_is_left_out_is_there() -> None:
    assert LEFT_OUT.keys() <= {name for one in FAMILIES for name in (one.name, one.shown)}


@pytest.mark.parametrize("pattern", [dashboard.LISTS, dashboard.DEEDS])
def test_the_paths_that_are_asked_for_are_served(pattern: str) -> None:
    regex = re.compile(pattern.partition('"')[2].rstrip('"'))
    for option in regex.pattern.split("|"):
        assert option
    assert len([path for path in ACCESS if regex.fullmatch(path)]) >= 3


def test_panels_have_ids_of_their_own_and_lie_beside_each_other() -> None:
    panels = dashboard.dashboard()["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (one["gridPos"] for one in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < dashboard.WIDTH


@pytest.mark.parametrize("generator", [dashboard, metrics_reference])
def test_the_files_are_up_to_date_and_one_that_is_not_is_named(
    generator: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generator.main(["--check"]) == 0
    file = tmp_path / "old"
    assert generator.main(["--check"], file=file) == 1
    assert f"old differs: run `python -m {generator.__name__}`" in capsys.readouterr().err
    assert generator.main([], file=file) == 0
    assert generator.main(["--check"], file=file) == 0


def test_prometheus_scrapes_the_ports_that_settings_have_by_default() -> None:
    settings, config = Settings(), DASHBOARD.parents[1] / "prometheus" / "prometheus.yml"
    flink = settings.flink
    taskmanagers = range(flink.metrics_port, flink.metrics_port + 1 + flink.taskmanagers)
    ports = re.findall(r"127\.0\.0\.1:(\d+)", config.read_text(encoding="utf-8"))
    assert [int(port) for port in ports] == [
        settings.serving.port,
        settings.writers.metrics_port,
        *taskmanagers,
    ]
