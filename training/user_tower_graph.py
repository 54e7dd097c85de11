"""The user tower as an ONNX file: INPUT [n, 1031] to QUERY [n, 512], of unit length.

The streamed embedding and the taste are mixed as the scalars say; a small network adds what it has
learned to the mix. Its last layer begins at nothing, so a tower that learned nothing is the mix.

What was learned of one shop's words misleads among others. So it is added as far as the mix is
familiar: as much of it lies in the directions in which most users of the training lie.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from domain.user_tower import INPUTS
from schemas.collections import USER_DIM

Floats = NDArray[np.float32]

OPSET = 17
# Opset 17 came with this version of the file format; onnxruntime 1.20 reads both.
IR_VERSION = 8
WEIGHTS = (
    *("mix.weight", "mix.bias", "hidden.weight", "hidden.bias", "adds.weight", "adds.bias"),
    "familiar",
)
# Half of what was learned is added where so much of the mix is familiar; how fast that rises.
HALF_FAMILIAR, STEEPNESS = 0.35, 30.0
VECTORS = 2 * USER_DIM
# Below this length a mix is nothing, and stays so.
SHORTEST = 1e-12
NUMBERS = {"shortest": SHORTEST, "half_familiar": HALF_FAMILIAR, "steepness": STEEPNESS}
BOUNDS = {"begin": 0, "first": USER_DIM, "second": VECTORS, "end": INPUTS, "columns": 1}


def user_tower(weights: Mapping[str, Floats], *, properties: Mapping[str, str]) -> bytes:
    """The file's content, the same for the same weights."""
    constants = [numpy_helper.from_array(weights[name], name) for name in WEIGHTS]
    constants += [
        numpy_helper.from_array(np.array([value], np.int64), name) for name, value in BOUNDS.items()
    ]
    constants += [
        numpy_helper.from_array(np.array([0, 1][at : at + 1], np.int64), f"column{at}")
        for at in range(2)
    ]
    constants += [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in NUMBERS.items()
    ]
    graph = helper.make_graph(
        _nodes(),
        "user_tower",
        [helper.make_tensor_value_info("INPUT", TensorProto.FLOAT, ["n", INPUTS])],
        [helper.make_tensor_value_info("QUERY", TensorProto.FLOAT, ["n", USER_DIM])],
        constants,
    )
    return _packaged(graph, properties)


def _nodes() -> list[NodeProto]:
    return [
        _slice("begin", "first", "embedding"),
        _slice("first", "second", "taste"),
        _slice("second", "end", "scalars"),
        helper.make_node("Gemm", ["scalars", "mix.weight", "mix.bias"], ["logs"], transB=1),
        helper.make_node("Exp", ["logs"], ["shares"]),
        helper.make_node("Gather", ["shares", "column0"], ["share0"], axis=1),
        helper.make_node("Gather", ["shares", "column1"], ["share1"], axis=1),
        helper.make_node("Mul", ["embedding", "share0"], ["part0"]),
        helper.make_node("Mul", ["taste", "share1"], ["part1"]),
        helper.make_node("Add", ["part0", "part1"], ["parts"]),
        *_to_unit("parts", "mixed"),
        helper.make_node("Gemm", ["INPUT", "hidden.weight", "hidden.bias"], ["pre"], transB=1),
        helper.make_node("Relu", ["pre"], ["active"]),
        helper.make_node("Gemm", ["active", "adds.weight", "adds.bias"], ["added"], transB=1),
        *_familiarity("mixed", "heeded"),
        helper.make_node("Mul", ["added", "heeded"], ["learned"]),
        helper.make_node("Add", ["mixed", "learned"], ["whole"]),
        *_to_unit("whole", "QUERY"),
    ]


def _slice(begin: str, end: str, name: str) -> NodeProto:
    return helper.make_node("Slice", ["INPUT", begin, end, "columns"], [name])


def _familiarity(vector: str, name: str) -> list[NodeProto]:
    return [
        helper.make_node("Gemm", [vector, "familiar"], ["shadow"], transB=1),
        helper.make_node("ReduceSumSquare", ["shadow"], ["familiarity"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["familiarity", "half_familiar"], ["over_half"]),
        helper.make_node("Mul", ["over_half", "steepness"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], [name]),
    ]


def _to_unit(vector: str, name: str) -> list[NodeProto]:
    length, bounded = f"{name}.length", f"{name}.bounded"
    return [
        helper.make_node("ReduceL2", [vector], [length], axes=[1], keepdims=1),
        helper.make_node("Max", [length, "shortest"], [bounded]),
        helper.make_node("Div", [vector, bounded], [name]),
    ]


def _packaged(graph: onnx.GraphProto, properties: Mapping[str, str]) -> bytes:
    model = helper.make_model(
        graph,
        producer_name="freshet",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
