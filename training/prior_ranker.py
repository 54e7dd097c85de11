"""Writes the untrained prior ranker as the ONNX file that the model server runs.

The weights are those of `domain/ranking_prior.py`, set by hand. Nothing here has been learned from
data; the file stands until a trained model takes its place.

    python -m training.prior_ranker [FILE]
"""

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from domain.ranking_features import FEATURES
from domain.ranking_prior import Network, prior_network

MODEL_FILE = Path(__file__).parent.parent / "serving/models/ranker/1/model.onnx"
OPSET = 17
# Opset 17 came with this version of the file format; onnxruntime 1.20 reads both.
IR_VERSION = 8


def build_model(network: Network) -> onnx.ModelProto:
    """The network as a graph from FEATURES [n, f] to SCORE [n, 1]."""
    nodes = [
        helper.make_node("Gemm", ["FEATURES", "hidden", "hidden_bias"], ["pre"]),
        helper.make_node("Relu", ["pre"], ["active"]),
        helper.make_node("MatMul", ["active", "deep"], ["deep_logit"]),
        helper.make_node("Gemm", ["FEATURES", "wide", "bias"], ["wide_logit"]),
        helper.make_node("Add", ["wide_logit", "deep_logit"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["SCORE"]),
    ]
    weights = [
        numpy_helper.from_array(getattr(network, name), name)
        for name in ("wide", "hidden", "hidden_bias", "deep", "bias")
    ]
    graph = helper.make_graph(
        nodes,
        "ranker",
        [helper.make_tensor_value_info("FEATURES", TensorProto.FLOAT, ["n", len(FEATURES)])],
        [helper.make_tensor_value_info("SCORE", TensorProto.FLOAT, ["n", 1])],
        weights,
    )
    return _packaged(graph)


def _packaged(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(
        graph,
        producer_name="freshet",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, {"release": "prior-1", "features": ",".join(FEATURES)})
    onnx.checker.check_model(model)
    return model


def model_bytes() -> bytes:
    """The file's content, the same on every run."""
    content: bytes = build_model(prior_network()).SerializeToString(deterministic=True)
    return content


def main(arguments: list[str]) -> None:
    """Write the file, by default where the model server finds it."""
    target = Path(arguments[0]) if arguments else MODEL_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(model_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
