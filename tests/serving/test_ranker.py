import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from serving.model_calls import ModelUnavailableError
from serving.ranker import ONE_ROW, Ranker, _scores


async def test_the_server_is_told_whom_it_works_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ranker, told = Ranker("127.0.0.1:9"), []

    async def infer(*_: object, headers: dict[str, str], **__: object) -> None:
        told.append(headers)
        raise InferenceServerException("enough")

    monkeypatch.setattr(ranker._client, "infer", infer)
    monkeypatch.setattr("serving.spans.outgoing", lambda: {"traceparent": "theirs"})
    with pytest.raises(ModelUnavailableError, match="enough"):
        await ranker.rank(ONE_ROW)
    assert told == [{"traceparent": "theirs"}]
    await ranker.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    ranker = Ranker("127.0.0.1:9")
    with pytest.raises(ModelUnavailableError, match="model ranker"):
        await ranker.rank(ONE_ROW)
    with pytest.raises(ModelUnavailableError, match="model ranker"):
        await ranker.probe()
    await ranker.close()


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(ModelUnavailableError, match="no finite scores"):
        _scores(np.array([[0.1], [np.nan]], np.float32), rows=2)


@pytest.mark.parametrize(
    ("column", "seen"),
    [
        (None, "None"),
        (np.zeros(2, np.float32), r"\('float32', 2\)"),
        (np.zeros((3, 1), np.float32), r"\('float32', 3, 1\)"),
        (np.zeros((2, 0), np.float32), r"\('float32', 2, 0\)"),
        (np.zeros((2, 1), np.object_), r"\('object', 2, 1\)"),
    ],
)
def test_an_answer_to_something_else_is_no_ranking(
    column: NDArray[np.float32] | None, seen: str
) -> None:
    with pytest.raises(ModelUnavailableError, match=f"gave {seen} for 2 rows"):
        _scores(column, rows=2)


def test_scores_stay_between_0_and_1() -> None:
    column = np.array([[-0.5], [0.5], [1.5]], np.float32)
    assert _scores(column, rows=3).tolist() == [0.0, 0.5, 1.0]
