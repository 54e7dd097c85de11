"""Explanations in a language model's words, where there is one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from schemas.codec import decode
from schemas.types import AnswerTrace, RankingTrace
from serving.app import create_app
from serving.evidence.retelling import Recorded, history_of, items_of, replay
from settings import Settings
from tests.serving.test_reason_stage import House, house


@asynccontextmanager
async def asked(one: House) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings())
    app.state.service = one.service
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def why(one: House, **context: str) -> dict[str, Any]:
    body = {"user_id": "u1", "item_id": "mug-1", "context": context}
    async with asked(one) as client:
        answer = await client.post("/v1/explain", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["explanation"]
    return told


async def test_the_model_writes_the_sentences_and_the_factors_stay() -> None:
    async with house(reasoner={"most_share": 1}) as one:
        written = await why(one)
        sent = str(one.model.asked)
    async with house(reasoner={"most_share": 1}, status=500) as other:
        plain = await why(other)
    assert written["llm_generated"] is True
    assert written["headline"] == "Chosen with you in mind"
    assert written["factors"] == plain["factors"]
    assert plain["llm_generated"] is False
    assert plain["headline"] != written["headline"]
    assert "Item mug-1" in sent
    assert "u1" not in sent


async def test_a_slow_model_is_not_waited_for() -> None:
    async with house(reasoner={"most_share": 1}, delay_s=1.0) as one:
        assert one.service.reasoner
        one.service.reasoner.timeout_s = 0.05
        told = await why(one)
    assert told["llm_generated"] is False
    assert told["headline"]


async def test_an_answer_with_a_models_reasons_is_told_again_to_the_byte() -> None:
    async with house() as one:
        body, _ = await one.answer()
        assert body["metadata"]["tier"] == "llm"
        await one.service.evidence.write_waiting()
        kept = one.outside.traces.answers["r0"]
    answer = decode(kept.answer, AnswerTrace)
    ranking = decode(one.outside.traces.rankings[answer.ranking], RankingTrace)
    catalog = one.service.catalog
    vectors = {
        name: catalog.column("vectors")[row]
        for name in items_of(history_of(answer), ranking)
        if (row := catalog.row(name)) is not None
    }
    again = await replay(Recorded(answer=answer, ranking=ranking, vectors=vectors))
    assert again.differences == ()
    assert again.same
