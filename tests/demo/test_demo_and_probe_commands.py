import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from demo.freshness import Load, Seen
from demo.measurement import Measured, ProbeError, ProbePlan
from freshet.__main__ import build
from freshet.demonstration import DemoError, Demonstration
from settings import Settings
from stack.part import StackError

LOAD = Load(asked_rate=100, sent=999, failed=1, seconds=10.0)


def freshet(*arguments: str) -> Result:
    return CliRunner().invoke(build(), list(arguments))


def measured(*answer_ms: float | None) -> Measured:
    seen = [Seen(log_ms=1.0, store_ms=2.0, state_ms=3.0, answer_ms=one) for one in answer_ms]
    return Measured(seen=tuple(seen), load=LOAD)


def give(monkeypatch: pytest.MonkeyPatch, found: Measured | Exception) -> list[ProbePlan]:
    """Let the measurement find this; answers the plans that it was asked for."""
    plans: list[ProbePlan] = []

    async def measure(_: Settings, plan: ProbePlan, **__: object) -> Measured:
        plans.append(plan)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("demo.measurement.measure", measure)
    return plans


def test_probe_prints_percentiles_and_a_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = give(monkeypatch, measured(*[60.0] * 98, 110.0, 300.0))
    result = freshet("probe", "freshness", "--rate", "50", "--poll-ms", "10")

    assert result.exit_code == 0
    assert (plans[0].rate, plans[0].poll_s, plans[0].probes) == (50, 0.01, 100)
    assert "999 other events in 10.0 s: 100/s of 100/s asked, 1 failed" in result.stdout
    words = [" ".join(line.replace("█", "").split()) for line in result.stdout.splitlines()]
    assert "visible in an answer 60 ms 110 ms 300 ms 0 of 100" in words
    assert words[-5:] == [
        "50-100 ms 98",
        "100-150 ms 1",
        "150-200 ms 0",
        "200-300 ms 0",
        "300-500 ms 1",
    ]


def test_probe_as_json_has_every_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, measured(10.0, 20.0))
    found = json.loads(freshet("probe", "freshness", "--json").stdout)

    assert found["times"]["answer_ms"] == {
        "probes": 2,
        "never": 0,
        "p50_ms": 10.0,
        "p99_ms": 20.0,
        "max_ms": 20.0,
    }
    assert [one["answer_ms"] for one in found["probes"]] == [10.0, 20.0]
    assert found["load"]["rate"] == pytest.approx(99.9)


def test_a_probe_that_was_never_seen_ends_with_1_and_counts_as_the_slowest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, measured(10.0, None))
    result = freshet("probe", "freshness")
    as_json = freshet("probe", "freshness", "--json")

    assert result.exit_code == as_json.exit_code == 1
    assert "> 10 s" in result.stdout
    assert "1 of 2" in result.stdout
    times = json.loads(as_json.stdout)["times"]["answer_ms"]
    assert (times["never"], times["p50_ms"], times["p99_ms"]) == (1, 10.0, None)


def test_a_probe_that_cannot_be_made_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, ProbeError("the service knows no items"))
    result = freshet("probe", "freshness")

    assert result.exit_code == 1
    assert "error: the service knows no items" in result.stderr


def test_a_service_that_is_away_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_SERVING__PORT", "25999")
    result = freshet("probe", "freshness", "--seconds", "1")

    assert result.exit_code == 1
    assert "is it up? `freshet stack status`" in result.stderr


def test_a_step_that_fails_is_named_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StackError("kafka: ended with exit code 1")

    monkeypatch.setattr("stack.lifecycle.up", fail)
    demonstration = Demonstration(settings=Settings(data_dir=tmp_path), console=Console(quiet=True))

    with pytest.raises(DemoError, match="step servers failed: kafka: ended with exit code 1\nlook"):
        demonstration.run()


def test_the_command_ends_with_1_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Demonstration) -> None:
        raise DemoError("step show failed: the list stayed the same\nlook at: freshet probe")

    monkeypatch.setattr(Demonstration, "run", fail)
    result = freshet("demo", "--json")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: step show failed: the list stayed the same\nlook at: freshet probe\n"
    )
