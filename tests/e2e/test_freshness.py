"""How fresh answers are, measured by the probe beside a load."""

import json
from typing import Any

import pytest

from stack.local import LocalStack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RATE, SECONDS, PROBES = 100, 20, 20
# A machine that does much else at a time may be slow; never is what must not be.
GENEROUS_MS = 10_000


@pytest.fixture(scope="module")
def measured(stack: LocalStack) -> dict[str, Any]:
    """A measurement on a stack that the demo has prepared."""
    stack.freshet("demo", "--json", timeout_s=800)
    done = stack.freshet(
        *("probe", "freshness", "--json", "--timeout-s", "30"),
        *("--rate", str(RATE), "--seconds", str(SECONDS), "--probes", str(PROBES)),
        timeout_s=300,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_marked_event_is_seen_in_an_answer(measured: dict[str, Any]) -> None:
    visible = measured["times"]["answer_ms"]
    print(json.dumps(measured["times"], indent=2))

    assert (visible["probes"], visible["never"]) == (PROBES, 0)
    assert 0 < visible["p50_ms"] <= visible["p99_ms"] <= visible["max_ms"] < GENEROUS_MS


def test_the_load_beside_it_was_what_was_asked_for(measured: dict[str, Any]) -> None:
    load = measured["load"]

    assert load["failed"] == 0
    assert load["sent"] == pytest.approx(RATE * load["seconds"], rel=0.1)
    assert load["seconds"] >= SECONDS


def test_an_event_passes_the_log_and_the_store_before_it_is_in_an_answer(
    measured: dict[str, Any],
) -> None:
    for probe in measured["probes"]:
        assert probe["log_ms"] > 0
        assert probe["state_ms"] <= probe["answer_ms"]
    for earlier, later in (("log_ms", "store_ms"), ("log_ms", "answer_ms")):
        assert measured["times"][earlier]["p50_ms"] < measured["times"][later]["p50_ms"]
