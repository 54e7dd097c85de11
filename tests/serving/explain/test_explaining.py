"""What /v1/explain says: from kept answers, from the present state, and of what can't be told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from schemas.codec import decode, encode
from schemas.types import AnswerTrace, RankingTrace
from serving.app import create_app
from settings import Settings
from tests.serving.evidence.answered import EAGER, SURE, Answered, elsewhere
from tests.serving.pretended import NOW_MS, count_of

STYLES = ("concise", "detailed", "conversational")


@pytest.fixture
def answered() -> Answered:
    return Answered()


@pytest.fixture
async def client(answered: Answered) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings())
    app.state.service = answered.service
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def explain(
    client: httpx.AsyncClient, user_id: str, item_id: str, *, status: int = 200, **fields: Any
) -> dict[str, Any]:
    body = {"user_id": user_id, "item_id": item_id, **fields}
    answer = await client.post("/v1/explain", json=body)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told if status == 200 else told["error"]


def items_of(answered: Answered, request_id: str = "r1") -> list[str]:
    return [place.item_id for place in answered.recorded(request_id).answer.places]


@pytest.mark.parametrize("user_id", ["warm", "angry", "nobody", "without consent", "vector only"])
async def test_every_item_of_an_answer_is_explained_in_every_style(
    answered: Answered, client: httpx.AsyncClient, user_id: str
) -> None:
    await answered.ask(user_id, EAGER)
    for item_id in items_of(answered):
        for style in STYLES:
            told = await explain(client, user_id, item_id, context={"explanation_style": style})
            said = told["explanation"]
            assert (told["basis"], told["request_id"], told["item_id"]) == ("answer", "r1", item_id)
            assert sum(one["weight"] for one in said["factors"]) == pytest.approx(1.0, abs=1e-9)
            weights = [one["weight"] for one in said["factors"]]
            assert weights == sorted(weights, reverse=True)
            assert said["headline"]
            assert said["detailed"].endswith((".", ").", ")."))
            assert said["llm_generated"] is False
            assert "None" not in said["headline"] + said["detailed"]
            assert told["notes"] == []


async def test_what_speaks_for_an_item_is_what_the_scores_say(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", SURE)
    bought = await explain(client, "warm", "i8")
    assert bought["explanation"]["headline"] == "Recommended because you bought it lately"
    assert {"similar_items", "bought_again"} < {
        one["factor"] for one in bought["explanation"]["factors"]
    }
    beside = await explain(client, "warm", "i52")
    by_name = {one["factor"]: one for one in beside["explanation"]["factors"]}
    assert by_name["neighbour"]["description"] == (
        "Often met together with Item «8», which you bought"
    )
    assert beside["explanation"]["headline"] == (
        "Recommended because it is often met together with Item «8»"
    )


async def test_the_latest_answer_that_has_the_item_is_taken(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    for number in range(3):
        await answered.ask("warm", EAGER, request_id=f"r{number}")
    both = set(items_of(answered, "r0")) & set(items_of(answered, "r2"))
    assert (await explain(client, "warm", min(both)))["request_id"] == "r2"
    assert (await explain(client, "warm", min(both), request_id="r0"))["request_id"] == "r0"


async def test_an_item_of_no_answer_is_explained_from_the_present_state(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", {"constraints": {"count": 1}})
    told = await explain(client, "warm", "i52", include_trace=True)
    assert (told["basis"], told["request_id"]) == ("present_state", None)
    assert told["notes"] == ["no kept answer has the item: this is what would speak for it now"]
    assert told["trace"]["candidates"] == {"found_by": "neighbour", "place": 1, "of": 1}
    assert "replay" not in told["trace"]
    assert answered.outside.event_log.taken == []
    assert count_of(answered.outside.metrics, "freshet_traces_total", outcome="kept") == 1
    cold = await explain(client, "nobody", "i52")
    assert cold["explanation"]["factors"]


async def test_somebody_elses_answer_is_as_if_it_were_not_there(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", EAGER)
    item_id = items_of(answered)[0]
    error = await explain(client, "angry", item_id, status=404, request_id="r1")
    other = await explain(client, "angry", item_id, status=404, request_id="r9")
    assert error["message"] == 'no answer "r1" of this user is kept'
    assert (error["code"], other["code"]) == ("answer_not_kept", "answer_not_kept")
    assert (await explain(client, "angry", item_id))["basis"] == "present_state"


async def test_an_item_that_the_answer_does_not_have(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", {"constraints": {"count": 1}})
    error = await explain(client, "warm", "i140", status=404, request_id="r1")
    assert (error["code"], error["field"]) == ("item_not_shown", "item_id")
    error = await explain(client, "warm", "nothing", status=404)
    assert error["code"] == "unknown_item"


async def test_the_trace_has_every_stage_and_replays(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("angry", EAGER)
    told = await explain(client, "angry", items_of(answered)[1], include_trace=True)
    trace = told["trace"]
    assert trace["replay"] == {"same_bytes": True, "differences": []}
    assert [one["stage"] for one in trace["stages"]] == [
        *("admit", "context", "candidates", "rank", "explore", "rerank", "answer"),
    ]
    assert trace["versions"] == {"user": 7, "embedding": 5, "model": "ranker:1", "catalogue": 150}
    assert trace["context"]["mood"]["frustration"] == pytest.approx(0.9, abs=0.01)
    assert {one["name"] for one in trace["explore"]["rules"]} >= {"frustration_wants_sure_things"}
    assert trace["rerank"]["place"] == trace["facts"]["rank"] == 2
    assert [one["item_id"] for one in trace["context"]["recent"]][:2] == ["i1", "i8"]
    place = answered.recorded().answer.places[1]
    assert trace["rerank"]["propensity"] == place.propensity
    parts = trace["parts"]
    assert parts["ranker"] > 0 < parts["rewards"]


async def test_the_parts_sum_to_what_the_place_was_given_for(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("angry", SURE)
    for item_id in items_of(answered)[1:]:
        trace = (await explain(client, "angry", item_id, include_trace=True))["trace"]
        weight = trace["rerank"]["diversity_weight"]
        worth = (1 - weight) * trace["explore"]["relevance"]
        worth += weight / 2 * trace["rerank"]["distance_to_those_above"]
        assert sum(trace["parts"].values()) == pytest.approx(worth, abs=1e-5)
        assert trace["rerank"]["lacking_to_the_best"] == pytest.approx(0.0, abs=1e-6)


async def test_what_chance_brought_says_so_in_its_weight(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", {"options": {"exploration_rate": 1.0}})
    explored = 0
    for place in answered.recorded().answer.places:
        told = await explain(client, "warm", place.item_id)
        names = {one["factor"] for one in told["explanation"]["factors"]}
        explored += "exploration" in names
        assert place.explored or "exploration" not in names
    assert explored > 10


async def test_a_model_that_is_another_now_is_said(
    answered: Answered, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await answered.ask("warm", SURE)
    answered.outside.ranker.version = "ranker:2"
    told = await explain(client, "warm", items_of(answered)[0])
    assert told["notes"] == ["the answer was scored by ranker:1; ranker:2 is asked now"]
    answered.outside.ranker.away = True
    told = await explain(client, "warm", items_of(answered)[0], what_if={"without_event": "i8"})
    assert told["notes"][0].startswith("ranker:1 can't be asked, so the prior says what counted")
    assert any("ranker:1 can't be asked" in note for note in told["what_if"]["notes"])


async def test_what_was_kept_cant_be_read(answered: Answered, client: httpx.AsyncClient) -> None:
    await answered.ask("warm", SURE)
    item_id = items_of(answered)[0]
    answered.outside.traces.away = True
    told = await explain(client, "warm", item_id)
    assert told["basis"] == "present_state"
    assert told["notes"][0].startswith("what was kept can't be read: redis is unavailable")
    error = await explain(client, "warm", item_id, status=503, request_id="r1")
    assert error["code"] == "unavailable"


async def test_a_ranking_that_is_kept_no_more(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", SURE)
    answered.outside.traces.rankings.clear()
    told = await explain(client, "warm", "i8")
    assert told["basis"] == "present_state"
    assert "the ranking of the answer is kept no more" in told["notes"]
    await explain(client, "warm", "i8", status=404, request_id="r1")


async def test_a_trace_of_another_release_counts_as_not_kept(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", SURE)
    kept = answered.outside.traces.answers["r1"]
    other = kept.answer[:2] + bytes(8) + kept.answer[10:]
    answered.outside.traces.answers["r1"] = replace(kept, answer=other)
    assert (await explain(client, "warm", "i8"))["basis"] == "present_state"


async def test_a_damaged_history_counts_as_not_kept(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", SURE)
    kept = answered.outside.traces.answers["r1"]
    damaged = replace(answered.recorded().answer, history=b"no history")
    answered.outside.traces.answers["r1"] = replace(kept, answer=encode(damaged))
    told = await explain(client, "warm", "i8")
    assert told["basis"] == "present_state"
    assert told["notes"][0] == "what was kept of the user's history can't be read: corrupt"


async def test_only_records_that_may_have_the_item_are_read(
    answered: Answered, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await answered.ask("warm", {"constraints": {"count": 1}}, request_id=f"r{number}")
    await answered.ask("warm", SURE, request_id="r3")
    read = []

    def counting(stored: bytes, kind: type[Any]) -> Any:
        read.append(kind)
        return decode(stored, kind)

    monkeypatch.setattr("serving.explain.explainer.decode", counting)
    shown = [one for one in items_of(answered, "r3") if one not in items_of(answered, "r0")]
    assert (await explain(client, "warm", shown[-1]))["request_id"] == "r3"
    assert (await explain(client, "warm", "i149"))["basis"] == "present_state"
    assert read == [AnswerTrace, RankingTrace]


async def test_items_that_have_changed_since_are_said(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    await answered.ask("warm", SURE)
    answered.service.catalog.apply([elsewhere(7)], now_ms=NOW_MS)
    told = await explain(client, "warm", items_of(answered)[0])
    assert told["notes"][0].startswith("vectors of 1 items have changed since")


async def test_what_if_tells_both_lists(answered: Answered, client: httpx.AsyncClient) -> None:
    await answered.ask("angry", EAGER)
    item_id = items_of(answered)[0]
    supposed = {"without_event": "i8", "emotion": {"valence": 0.5}, "exploration": False}
    told = (await explain(client, "angry", item_id, what_if=supposed))["what_if"]
    assert told["before"] == items_of(answered)
    assert told["changed"] is (told["before"] != told["after"]) is True
    assert [one["item_id"] for one in told["items"]][: len(told["after"])] == told["after"]
    for one in told["items"]:
        both = one["rank_before"] and one["rank_after"]
        assert one["moved"] == (one["rank_before"] - one["rank_after"] if both else 0)
    assert told["supposed"]["without_event"] == "i8"
    assert told["notes"][0].startswith("held the same")


async def test_what_if_needs_an_answer_and_an_event(
    answered: Answered, client: httpx.AsyncClient
) -> None:
    error = await explain(client, "warm", "i8", status=404, what_if={"exploration": False})
    assert error["code"] == "answer_not_kept"
    await answered.ask("warm", SURE)
    error = await explain(client, "warm", "i8", status=400, what_if={"without_event": "gone"})
    assert (error["code"], error["field"]) == ("unknown_event", "what_if.without_event")
    error = await explain(client, "warm", "i8", status=400, what_if={})
    assert "names nothing" in error["message"]
    error = await explain(client, "warm", "i8", status=400, what_if={"exploration": True})
    assert error["field"] == "what_if.exploration"
    error = await explain(client, "warm", "i8", status=400, what_if={"emotion": "bored"})
    assert error["field"].startswith("what_if.emotion")
