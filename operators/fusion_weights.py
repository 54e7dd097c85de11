"""Reads what was learned to fuse the modalities of an item."""

import zipfile
from pathlib import Path

import numpy as np

from domain.fusion import MODALITY_WEIGHTS, Fusion, FusionError

NEEDED = ("query", "key", "gate_bias")
OPTIONAL = ("value", "gate")


def load_fusion(path: Path) -> Fusion:
    """Read an `.npz` of arrays named like the fields of `Fusion`, in float32.

    A modality's weight is `weight_text`, `weight_image`, and so on; without them the usual ones
    hold.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise FusionError(
            f"{path}: can't be read ({error}); an .npz of arrays is needed"
        ) from error
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise FusionError(f"{path}: has no {', '.join(missing)}; {', '.join(NEEDED)} are needed")
    given = {name: f"weight_{name}" for name in MODALITY_WEIGHTS}
    weights = {
        name: float(found[array]) if array in found else MODALITY_WEIGHTS[name]
        for name, array in given.items()
    }
    matrices = {
        name: found[name].astype(np.float32) for name in (*NEEDED, *OPTIONAL) if name in found
    }
    return Fusion(**matrices, weights=weights)
