import numpy as np
import pytest

from serving.model_calls import ModelUnavailableError
from serving.ranker import ONE_ROW, Ranker, _scores


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    ranker = Ranker("127.0.0.1:9")
    with pytest.raises(ModelUnavailableError, match="model ranker"):
        await ranker.rank(ONE_ROW)
    with pytest.raises(ModelUnavailableError, match="model ranker"):
        await ranker.probe()
    await ranker.close()


@pytest.mark.parametrize("column", [None, np.array([[0.1], [np.nan]], np.float32)])
def test_scores_that_are_none_are_refused(column: np.ndarray | None) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelUnavailableError, match="no finite scores"):
        _scores(column)


def test_scores_stay_between_0_and_1() -> None:
    column = np.array([[-0.5], [0.5], [1.5]], np.float32)
    assert _scores(column).tolist() == [0.0, 0.5, 1.0]
