import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from serving.evidence import taking
from serving.evidence.log import EvidenceLog
from serving.evidence.taking import Going
from serving.requests import PersonalizeRequest
from settings import Settings
from stores.traces import KeptAnswer
from tests.clock import Clock
from tests.serving.evidence.answered import Answered, wide_shop
from tests.serving.pretended import NOW_MS, PretendedTraces, count_of


@pytest.fixture
def answered() -> Answered:
    return Answered()


def told(answered: Answered, outcome: str) -> float:
    return count_of(answered.outside.metrics, "freshet_traces_total", outcome=outcome)


def log_of(answered: Answered, store: object, *, clock: Clock, per_s: int = 50) -> EvidenceLog:
    return EvidenceLog(
        store,  # type: ignore[arg-type]
        catalog=answered.service.catalog,
        metrics=answered.outside.metrics,
        going=Going(policy="thompson", weight=0.3),
        lifetime_s=900,
        per_s=per_s,
        clock=clock,
        capacity=3,
    )


def keeping_in(answered: Answered, log: EvidenceLog) -> None:
    pipeline = replace(answered.service.pipeline, evidence=log)
    answered.service = replace(answered.service, pipeline=pipeline, evidence=log)


async def ask(answered: Answered, *request_ids: str) -> None:
    for request_id in request_ids:
        await answered.service.pipeline.personalize(asked_by("warm"), request_id=request_id)


def asked_by(user_id: str) -> PersonalizeRequest:
    return PersonalizeRequest(user_id=user_id)


async def test_what_is_handed_over_is_written_beside_the_answers(answered: Answered) -> None:
    running = asyncio.create_task(answered.service.evidence.run())
    await ask(answered, *(f"r{number}" for number in range(20)))
    await answered.service.evidence.drain(timeout_s=2)
    running.cancel()
    assert list(answered.outside.traces.answers) == [f"r{number}" for number in range(20)]
    assert answered.outside.traces.rankings.keys() == {"r0"}
    assert told(answered, "kept") == 20


async def test_what_the_ranker_saw_is_held_until_it_is_handed_over(answered: Answered) -> None:
    await ask(answered, "r1")
    (made,) = answered.service.pipeline.rankings._made.values()
    assert made.shortlist.evidence.features is None
    assert made.shortlist.evidence.kept_as == "r1"


async def test_no_more_than_so_many_a_second(answered: Answered) -> None:
    clock = Clock()
    clock.now = 10.0
    keeping_in(answered, log_of(answered, PretendedTraces(), clock=clock, per_s=2))
    await ask(answered, "r1", "r2", "r3")
    assert told(answered, "too_many") == 1
    await answered.service.evidence.write_waiting()
    clock.now = 11.0
    await ask(answered, "r4")
    await answered.service.evidence.write_waiting()
    assert (told(answered, "too_many"), told(answered, "kept")) == (1, 3)


async def test_a_ranking_whose_first_answer_was_left_out_is_written_with_the_next(
    answered: Answered,
) -> None:
    clock, store = Clock(), PretendedTraces()
    clock.now = 10.0
    keeping_in(answered, log_of(answered, store, clock=clock, per_s=1))
    await answered.service.pipeline.personalize(asked_by("nobody"), request_id="r0")
    await ask(answered, "r1")
    clock.now = 11.0
    await ask(answered, "r2")
    await answered.service.evidence.write_waiting()
    assert store.rankings.keys() == {"r0", "r2"}


async def test_what_finds_the_queue_full_is_left_out(answered: Answered) -> None:
    keeping_in(answered, log_of(answered, PretendedTraces(), clock=Clock()))
    await ask(answered, "r1", "r2", "r3", "r4")
    assert told(answered, "full") == 1


async def test_what_the_catalogue_has_left_behind_is_left_out(answered: Answered) -> None:
    await ask(answered, "r1")
    changed = [replace(one, vector=None) for one in wide_shop()[:1]]
    answered.service.catalog.apply(changed, now_ms=NOW_MS)
    await answered.service.evidence.write_waiting()
    assert (told(answered, "changed"), answered.outside.traces.answers) == (1, {})


async def test_a_store_that_is_away_costs_the_trace_alone(answered: Answered) -> None:
    answered.outside.traces.away = True
    await ask(answered, "r1")
    await answered.service.evidence.write_waiting()
    answered.outside.traces.away = False
    assert told(answered, "failed") == 1
    await answered.ask("nobody", request_id="r2")
    assert told(answered, "kept") == 1


async def test_a_trace_that_cant_be_made_ends_nothing(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("serving.evidence.taking.latency_of", lambda *_: 1 / 0)
        await ask(answered, "r1")
        await answered.service.evidence.write_waiting()
    assert told(answered, "failed") == 1
    await answered.ask("nobody", request_id="r2")
    assert told(answered, "kept") == 1


async def test_those_of_who_was_forgotten_are_counted(answered: Answered) -> None:
    class Forgetful(PretendedTraces):
        async def write(
            self, kept: Sequence[KeptAnswer], *, lifetime_s: int, ranking_s: int
        ) -> list[bool]:
            assert (lifetime_s, ranking_s) == (900, 1_080)
            return [False] * len(kept)

    keeping_in(answered, log_of(answered, Forgetful(), clock=Clock()))
    await ask(answered, "r1")
    await answered.service.evidence.write_waiting()
    assert told(answered, "erased") == 1


async def test_without_a_lifetime_nothing_is_kept() -> None:
    answered = Answered()
    answered.outside.settings = Settings.model_validate(
        {"serving": {"traces_s": 0, "kept_feedback": 0}}
    )
    answered.service = answered.outside.service(wide_shop())
    await answered.ask("warm")
    assert answered.outside.traces.answers == {}


async def test_what_is_written_of_whom(answered: Answered) -> None:
    await answered.ask("warm", request_id="r1")
    await answered.ask("nobody", request_id="r2")
    warm, cold = answered.outside.traces.answers.values()
    assert (warm.user_id, warm.own, warm.state_ms) == ("warm", True, NOW_MS - 1)
    assert (cold.user_id, cold.own, cold.state_ms) == ("nobody", False, cold.at_ms)


async def test_what_a_user_did_is_written_down_once_while_the_titles_are_the_same(
    answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def nothing_met(*_: object) -> tuple[()]:
        written.append(1)
        return ()

    monkeypatch.setattr(taking, "_met", nothing_met)
    await answered.ask("warm", request_id="r1")
    await answered.ask("warm", request_id="r2")
    assert len(written) == 1
    answered.service.catalog.entries_version += 1
    await answered.ask("warm", request_id="r3")
    assert len(written) == 2
