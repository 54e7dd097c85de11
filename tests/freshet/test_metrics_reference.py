"""What the reference says of operators is what they count."""

import re
from pathlib import Path

from freshet.metrics_reference import BY_REASON, OPERATORS, service, writers

ROOT = Path(__file__).parents[2]
COUNTED = re.compile(r'counters\.count\(\s*"(\w+)"(?: if [^"]+ else "(\w+)")?')
OF_SHOWINGS = re.compile(r'self\._counts\["(\w+)"\]')


def counted() -> set[str]:
    """The names in the code that counts."""
    operators = (path.read_text(encoding="utf-8") for path in (ROOT / "operators").glob("*.py"))
    found = {name for text in operators for both in COUNTED.findall(text) for name in both if name}
    showings = (ROOT / "domain" / "attribution.py").read_text(encoding="utf-8")
    return found | set(OF_SHOWINGS.findall(showings))


def test_operators_count_what_the_reference_names() -> None:
    assert counted() | {BY_REASON} == OPERATORS.keys()


def test_each_metric_says_what_it_is() -> None:
    for one in (*service(), *writers()):
        assert one.says
        assert one.name.startswith(("freshet_", "process_", "python_gc_"))
        assert "instance" not in one.labels
