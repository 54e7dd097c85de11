from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from domain.ranking_features import FEATURES
from domain.ranking_prior import prior_network
from training.prior_ranker import MODEL_FILE, main, model_bytes


def test_the_file_in_the_repository_is_what_the_script_makes() -> None:
    assert MODEL_FILE.read_bytes() == model_bytes(), (
        "serving/models/ranker/1/model.onnx is not what training/prior_ranker.py makes; "
        "run python -m training.prior_ranker"
    )


def test_the_file_says_its_features() -> None:
    model = onnx.load_from_string(model_bytes())
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["features"].split(",") == list(FEATURES)


@pytest.mark.parametrize("rows", [1, 500])
def test_the_file_computes_what_numpy_computes(rows: int) -> None:
    features = np.random.default_rng(1).normal(0, 1, (rows, len(FEATURES))).astype(np.float32)
    session = onnxruntime.InferenceSession(str(MODEL_FILE), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["SCORE"], {"FEATURES": features})
    assert scores.shape == (rows, 1)
    assert scores[:, 0] == pytest.approx(prior_network().score(features), abs=1e-5)


def test_another_file_can_be_written(tmp_path: Path) -> None:
    main([str(tmp_path / "new" / "model.onnx")])
    assert (tmp_path / "new" / "model.onnx").read_bytes() == model_bytes()


def test_the_model_servers_configuration_has_as_many_features() -> None:
    config = (MODEL_FILE.parent.parent / "config.pbtxt").read_text(encoding="utf-8")
    assert f"dims: [ {len(FEATURES)} ]" in config
