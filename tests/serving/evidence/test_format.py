"""Traces as they lie in Redis: every published form is read for good."""

from dataclasses import replace
from pathlib import Path
from zlib import compress

import pytest
from hypothesis import given, settings

from schemas.codec import DecodeError, decode, encode
from schemas.types import AnswerTrace, HistoryTrace, RankingTrace
from serving.evidence.retelling import Recorded, history_of, items_of, tell
from tests.schemas.test_binary import records_of
from tests.serving.evidence.answered import wide_shop

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def recorded() -> Recorded:
    answer = decode((GOLDEN / "answer_v1.bin").read_bytes(), AnswerTrace)
    ranking = decode((GOLDEN / "ranking_v1.bin").read_bytes(), RankingTrace)
    shop = {one.item_id: one.vector for one in wide_shop()}
    vectors = {
        one: vector
        for one in items_of(history_of(answer), ranking)
        if (vector := shop.get(one)) is not None
    }
    return Recorded(answer=answer, ranking=ranking, vectors=vectors)


async def test_the_first_form_is_read_and_told_as_it_was(recorded: Recorded) -> None:
    told = await tell(recorded)
    assert [place.item_id for place in recorded.answer.places] == ["i8", "i1", "i141", "i15", "i36"]
    assert [slot.index for slot in told.chosen.slots] == [
        place.index for place in recorded.answer.places
    ]
    assert told.changed == ()
    assert told.chosen.tried.segment == "unknown_xx_morning~try.bold"
    assert [one.action for one in recorded.history.met][:2] == ["click", "purchase"]


def test_what_is_written_again_has_the_same_bytes(recorded: Recorded) -> None:
    assert encode(recorded.answer) == (GOLDEN / "answer_v1.bin").read_bytes()
    assert encode(recorded.ranking) == (GOLDEN / "ranking_v1.bin").read_bytes()


@settings(max_examples=30, deadline=None)
@given(records_of(HistoryTrace))
def test_any_history_comes_back(history: HistoryTrace) -> None:
    answer = decode((GOLDEN / "answer_v1.bin").read_bytes(), AnswerTrace)
    assert history_of(replace(answer, history=compress(encode(history)))) == history


@pytest.mark.parametrize("stored", [b"", b"nothing", compress(b"nothing")])
def test_a_damaged_history_is_told(recorded: Recorded, stored: bytes) -> None:
    with pytest.raises(DecodeError):
        history_of(replace(recorded.answer, history=stored))
