"""Runs model.onnx inside Triton's Python backend."""

from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

RESULTS = ("CHANCES", "VAD")


class TritonPythonModel:
    """One session on one thread; text by text, so that none depends on its company."""

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
        texts = pb_utils.get_input_tensor_by_name(request, "PIECES").as_numpy()
        read = [self.session.run(RESULTS, {"PIECES": text[text != 0][None]}) for text in texts]
        columns = [np.concatenate(column) for column in zip(*read)]
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, column) for name, column in zip(RESULTS, columns)]
        )
