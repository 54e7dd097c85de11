from pathlib import Path

import numpy as np
import pytest

from domain.fusion import MODALITY_WEIGHTS, FusionError, fuse, unlearned
from operators.fusion_weights import load_fusion

TEXT = np.arange(1, 513, dtype=np.float32)
IMAGE = np.arange(768, 0, -1, dtype=np.float32)
PARTS = {
    "query": unlearned().query,
    "key": unlearned().key,
    "gate_bias": unlearned().gate_bias,
}


def test_what_was_saved_fuses_as_what_it_was_saved_from(tmp_path: Path) -> None:
    path = tmp_path / "fusion.npz"
    np.savez(path, **PARTS)
    found = load_fusion(path)
    assert dict(found.weights) == dict(MODALITY_WEIGHTS)
    parts = {"text": TEXT, "image": IMAGE}
    assert np.array_equal(fuse(parts, fusion=found), fuse(parts))


def test_weights_of_modalities_are_read(tmp_path: Path) -> None:
    path = tmp_path / "fusion.npz"
    np.savez(path, **PARTS, weight_text=np.float32(0.5), value=np.eye(1024))
    found = load_fusion(path)
    assert found.weights == dict(MODALITY_WEIGHTS) | {"text": 0.5}
    assert found.value is not None
    assert found.value.dtype == np.float32


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    absent, text, partial = (tmp_path / name for name in ("absent.npz", "text.npz", "part.npz"))
    text.write_text("no arrays")
    np.savez(partial, query=PARTS["query"])
    with pytest.raises(FusionError, match=r"absent\.npz: can't be read"):
        load_fusion(absent)
    with pytest.raises(FusionError, match=r"text\.npz: can't be read"):
        load_fusion(text)
    with pytest.raises(FusionError, match=r"part\.npz: has no key, gate_bias"):
        load_fusion(partial)
