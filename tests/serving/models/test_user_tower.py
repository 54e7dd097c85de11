"""The user tower as Triton serves it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from domain.fusion import unit
from domain.ranking_features import Activity
from domain.user_tower import tower_input
from freshet import served_models
from serving.model_calls import ModelUnavailableError
from serving.model_control import ModelServer, ModelServerError
from serving.user_tower import UserTower
from stack.local import LocalStack
from stack.models import folder

MODEL_FILE = Path(__file__).parents[3] / "serving/models/user_tower/1/model.onnx"


@pytest.fixture
async def tower(triton: LocalStack) -> AsyncIterator[UserTower]:
    opened = UserTower(triton.settings.triton.address)
    yield opened
    await opened.close()


def users(count: int) -> list["np.ndarray[tuple[int], np.dtype[np.float32]]"]:
    chance = np.random.default_rng(1)
    vectors = chance.normal(0, 1, (2, count, 512)).astype(np.float32)
    activity = Activity(interactions=9, last_event_ms=0)
    return [
        tower_input(unit("one", one), unit("other", other), activity, now_ms=60_000)
        for one, other in zip(*vectors, strict=True)
    ]


async def test_it_points_where_the_file_does_and_runs_what_queues_up_together(
    tower: UserTower, triton: LocalStack
) -> None:
    asked = users(100)
    session = onnxruntime.InferenceSession(str(MODEL_FILE), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["QUERY"], {"INPUT": np.stack(asked)})
    before = runs(triton)
    found = await asyncio.gather(*(tower.direction(one) for one in asked))
    assert np.stack([one.vector for one in found]) == pytest.approx(expected, abs=1e-5)
    assert {one.model_version for one in found} == {"user_tower:1"}
    assert runs(triton) - before < len(asked) / 2


def runs(triton: LocalStack) -> int:
    with ModelServer(triton.settings.triton.address, timeout_s=5) as server:
        (version,) = server.versions()["user_tower"]
    return version.runs


async def test_unloaded_it_is_unavailable_and_loaded_it_is_back(
    tower: UserTower, triton: LocalStack
) -> None:
    served_models.unload(triton.settings, "user_tower")
    try:
        with pytest.raises(ModelUnavailableError, match="model user_tower"):
            await tower.probe()
    finally:
        served_models.load(triton.settings, "user_tower", None)
    await tower.direction(users(1)[0])


def test_a_file_that_gives_no_direction_is_not_loaded(triton: LocalStack) -> None:
    found = folder(triton.layout, "user_tower")
    added = found.path / "1000"
    shutil.copytree(found.path / "1", added)
    shutil.copy(folder(triton.layout, "ranker").path / "1" / "model.onnx", added / "model.onnx")
    try:
        with pytest.raises(ModelServerError, match="user_tower goes on as before"):
            served_models.load(triton.settings, "user_tower", None)
    finally:
        shutil.rmtree(added)
