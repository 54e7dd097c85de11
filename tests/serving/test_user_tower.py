import numpy as np
import pytest

from serving.model_calls import ModelUnavailableError
from serving.user_tower import NOBODY, UserTower, _direction

UNIT = np.eye(1, 512, dtype=np.float32)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    tower = UserTower("127.0.0.1:9")
    with pytest.raises(ModelUnavailableError, match="model user_tower"):
        await tower.direction(NOBODY)
    with pytest.raises(ModelUnavailableError, match="model user_tower"):
        await tower.probe()
    await tower.close()


@pytest.mark.parametrize("rows", [None, UNIT[:, :256], np.concatenate([UNIT, UNIT])])
def test_what_is_no_query_is_refused(rows: np.ndarray | None) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelUnavailableError, match="gave no QUERY of 512"):
        _direction(rows)


@pytest.mark.parametrize("factor", [0.0, 2.0, np.nan, np.inf])
def test_what_is_no_direction_is_refused(factor: float) -> None:
    rows = UNIT.copy()
    rows[0, 0] = factor
    with pytest.raises(ModelUnavailableError, match=rf"of length {factor}, not 1"):
        _direction(rows)


def test_a_direction_is_a_row() -> None:
    assert _direction(UNIT).tolist() == UNIT[0].tolist()
