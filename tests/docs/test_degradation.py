"""The table of fallbacks says what the code does, and names the tests that show it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.reasoner import BUSY, REFUSED, SLOW, UNAVAILABLE
from tests.serving import (
    test_degradation,
    test_http,
    test_reason_stage,
    test_reasoner,
    test_user_direction,
)

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/degradation.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z]+:[a-z_]+)` (?:\* )?\|.*\| `(test_\w+)` \|$", re.MULTILINE)
TABLE = dict(ROW.findall(TEXT))
AWAY = "_unavailable"
# Of the one name that is put together, all that may come out.
LACKING_OF_MODEL = [f"llm_{one}" for one in (UNAVAILABLE, SLOW, REFUSED, BUSY)]
# Rows that are shown beside what they are about.
ELSEWHERE = {
    **dict.fromkeys(
        (f"reason:llm_{one}" for one in (UNAVAILABLE, SLOW, REFUSED)),
        "test_without_the_model_the_templates_speak",
    ),
    f"reason:llm_{BUSY}": "test_so_many_calls_at_a_time_and_no_more",
    "candidates:user_tower_unavailable": (
        "test_without_the_tower_the_embedding_stands_and_nothing_is_remembered"
    ),
}
SHOWN_IN = (test_degradation, test_http, test_reason_stage, test_reasoner, test_user_direction)


def calls() -> Iterator[ast.Call]:
    for file in (ROOT / "serving").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def texts(node: ast.expr, constants: dict[str, str]) -> list[str]:
    """What an argument may be."""
    if isinstance(node, ast.IfExp):
        return [*texts(node.body, constants), *texts(node.orelse, constants)]
    if isinstance(node, ast.Name):
        return [constants[node.id]]
    if isinstance(node, ast.JoinedStr):
        return LACKING_OF_MODEL
    assert isinstance(node, ast.Constant), ast.dump(node)
    return [str(node.value)]


def in_code() -> tuple[set[str], set[str]]:
    """Fallbacks by their whole name, and the stages that do without some server."""
    whole, stages = set(), set()
    constants = {"STAGE": "similar"}
    for call in calls():
        if called(call) == "fall_back_to":
            stage, substitutes = call.args
            for name in texts(stage, constants):
                whole |= {f"{name}:{one}" for one in texts(substitutes, constants)}
        if called(call) == "fall_back":
            stages |= set(texts(call.args[0], constants))
    for file in (ROOT / "serving").rglob("*.py"):
        stages |= set(re.findall(r'f"([a-z]+):\{[\w.]+\}_unavailable"', file.read_text("utf-8")))
    return whole, stages


def test_the_table_has_every_fallback_of_the_code_and_no_other() -> None:
    whole, stages = in_code()
    assert {name for name in TABLE if not name.endswith(AWAY)} == {
        name for name in whole if not name.endswith(AWAY)
    }
    stages |= {name.partition(":")[0] for name in whole if name.endswith(AWAY)}
    assert {name.partition(":")[0] for name in TABLE if name.endswith(AWAY)} == stages


def test_each_row_names_the_test_that_shows_it() -> None:
    assert TABLE == {**test_degradation.ROWS, **ELSEWHERE}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", TEXT))))
def test_every_named_test_is_there(name: str) -> None:
    assert any(hasattr(module, name) for module in SHOWN_IN)
