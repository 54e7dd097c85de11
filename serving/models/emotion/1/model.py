"""Reads texts inside Triton's Python backend, with the very code that the job `user_state` runs."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from domain.emotion import LABELS
from operators.text_emotion import TextClassifier


class TritonPythonModel:
    """One classifier on one thread; text by text, as its graph has no rows."""

    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.classify = TextClassifier(folder / "model.onnx")
        # Whoever can't read is not loaded, so the version before it goes on.
        self.classify("I am happy")

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        column = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
        try:
            read = [self.classify(text.decode()) for (text,) in column]
        except UnicodeDecodeError as error:
            refusal = f"TEXT: {error}; send UTF-8"
            return pb_utils.InferenceResponse([], pb_utils.TritonError(refusal))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, values) for name, values in _columns(read).items()]
        )


def _columns(read):
    """An output a column, a text a row; a text without a word has no label, and zeros."""
    nothing = [0.0] * len(LABELS)
    return {
        "LABEL": np.array([[one.label if one else ""] for one in read], np.object_),
        "NAMED": np.array([[one is not None and n in one.named for n in LABELS] for one in read]),
        "SHARES": np.array([one.shares if one else nothing for one in read], np.float64),
        "VAD": np.array([_axes(one) for one in read], np.float64),
        "CONFIDENCE": np.array([[one.confidence if one else 0.0] for one in read], np.float64),
    }


def _axes(one):
    return (one.valence, one.arousal, one.dominance) if one else (0.0, 0.0, 0.0)
