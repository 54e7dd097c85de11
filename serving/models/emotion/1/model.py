"""Runs model.onnx inside Triton's Python backend."""

from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

ASKED, TOLD = ("WORDS", "PHRASES"), ("CHANCES", "VAD")


class TritonPythonModel:
    """One session on one thread, one text a call."""

    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        asked = {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ASKED
        }
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, values)
                for name, values in zip(TOLD, self.session.run(TOLD, asked))
            ]
        )
