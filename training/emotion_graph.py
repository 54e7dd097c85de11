"""The emotion classifier as an ONNX file: a small transformer with weights of one byte each.

PIECES [n, t] holds numbers of word pieces, 0 where a text has ended. CHANCES [n, 7] says of each
label how likely it is, VAD [n, 3] is -1 to 1. Weights are stored as whole numbers with a scale for
each row or column; what flows between layers is rounded to one byte as it comes, for speed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

OPSET = 17
# Opset 17 came with this version of the file format; onnxruntime 1.20 reads both.
IR_VERSION = 8
WIDTH, ATTENTIONS = 384, 12
EPSILON = 1e-12
LABELS_COUNT, AXES_COUNT = 7, 3
# Processors without VNNI add two products of bytes in sixteen bits, and cut off what is over:
# twice 255 times this fits.
MOST_FACTOR = 63
UNHEARD = np.float32(-1e4)


@dataclass(kw_only=True)
class _Graph:
    """Nodes and constants, in the order in which they are computed."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node, and name its first output; the others end in _1, _2."""
        name = f"{kind.lower()}{len(self.nodes)}"
        names = [name, *(f"{name}_{at}" for at in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return name

    def constant(self, name: str, value: object, kind: type[np.generic] = np.float32) -> str:
        """Keep an array under its name, and answer that name."""
        self.constants[name] = numpy_helper.from_array(np.asarray(value, kind), name)
        return name

    def whole(self, *values: int) -> str:
        """Whole numbers, as shapes and axes are given."""
        return self.constant("whole_" + "_".join(map(str, values)), values, np.int64)


def emotion_model(
    weights: Weights, *, layers: int, properties: Mapping[str, str]
) -> onnx.ModelProto:
    """The graph of trained weights, named as `training/emotion_network.py` names them."""
    graph = _Graph()
    unheard = _mask(graph)
    stream = _normalized(graph, weights, "norm", _embedded(graph, weights))
    for layer in range(layers):
        stream = _layer(graph, weights, f"layers.{layer}", stream, unheard)
    _heads(graph, weights, _mean(graph, stream))
    return _packaged(graph, properties)


def _mask(graph: _Graph) -> str:
    heard = graph.add("Cast", "PIECES", to=TensorProto.BOOL)
    graph.nodes.append(helper.make_node("Cast", [heard], ["heard_weight"], to=TensorProto.FLOAT))
    silent = graph.add("Sub", graph.constant("one", 1.0), "heard_weight")
    scaled = graph.add("Mul", silent, graph.constant("unheard", UNHEARD))
    return graph.add("Unsqueeze", scaled, graph.whole(1, 2))


def _embedded(graph: _Graph, weights: Weights) -> str:
    rows, scale = quantized(weights["pieces.weight"], axis=1)
    table = graph.constant("pieces", rows, np.int8)
    found = graph.add("Gather", table, "PIECES")
    scales = graph.add("Gather", graph.constant("pieces_scale", scale), "PIECES")
    vectors = graph.add("Mul", graph.add("Cast", found, to=TensorProto.FLOAT), scales)
    length = graph.add("Slice", graph.add("Shape", "PIECES"), graph.whole(1), graph.whole(2))
    places = graph.constant("places", weights["places.weight"].astype(np.float16), np.float16)
    begun = graph.add("Slice", places, graph.whole(0), length, graph.whole(0))
    return graph.add("Add", vectors, graph.add("Cast", begun, to=TensorProto.FLOAT))


def _layer(graph: _Graph, weights: Weights, name: str, stream: str, unheard: str) -> str:
    heard = _attention(graph, _dense(graph, weights, f"{name}.heads", stream), unheard)
    turned = _dense(graph, weights, f"{name}.out", heard)
    stream = _normalized(graph, weights, f"{name}.norm", graph.add("Add", stream, turned))
    wide = _gelu(graph, _dense(graph, weights, f"{name}.wide", stream))
    back = _dense(graph, weights, f"{name}.narrow", wide)
    return _normalized(graph, weights, f"{name}.norm_2", graph.add("Add", stream, back))


def _attention(graph: _Graph, projected: str, unheard: str) -> str:
    size = WIDTH // ATTENTIONS
    split = graph.add("Reshape", projected, graph.whole(0, 0, 3, ATTENTIONS, size))
    turned = graph.add("Transpose", split, perm=[2, 0, 3, 1, 4])
    asked, offered, said = (
        graph.add("Gather", turned, graph.constant(f"part_{part}", part, np.int64), axis=0)
        for part in range(3)
    )
    across = graph.add("Transpose", offered, perm=[0, 1, 3, 2])
    likeness = graph.add("MatMul", asked, across)
    scaled = graph.add("Mul", likeness, graph.constant("attention_scale", size**-0.5))
    shares = graph.add("Softmax", graph.add("Add", scaled, unheard), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", shares, said), perm=[0, 2, 1, 3])
    return graph.add("Reshape", mixed, graph.whole(0, 0, WIDTH))


def _dense(graph: _Graph, weights: Weights, name: str, stream: str) -> str:
    columns, scale = quantized(weights[f"{name}.weight"].T, axis=0, most=MOST_FACTOR)
    rounded = graph.add("DynamicQuantizeLinear", stream, outputs=3)
    product = graph.add(
        "MatMulInteger", rounded, graph.constant(f"{name}.weight", columns, np.int8), f"{rounded}_2"
    )
    scales = graph.add("Mul", f"{rounded}_1", graph.constant(f"{name}.scale", scale[0]))
    real = graph.add("Mul", graph.add("Cast", product, to=TensorProto.FLOAT), scales)
    return graph.add("Add", real, graph.constant(f"{name}.bias", weights[f"{name}.bias"]))


def _gelu(graph: _Graph, stream: str) -> str:
    bent = graph.add("Erf", graph.add("Div", stream, graph.constant("root_2", np.sqrt(2.0))))
    risen = graph.add("Add", bent, graph.constant("one", 1.0))
    return graph.add("Mul", graph.add("Mul", stream, risen), graph.constant("half", 0.5))


def _normalized(graph: _Graph, weights: Weights, name: str, stream: str) -> str:
    scale = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    return graph.add("LayerNormalization", stream, scale, bias, axis=-1, epsilon=EPSILON)


def _mean(graph: _Graph, stream: str) -> str:
    heard = graph.add("Unsqueeze", "heard_weight", graph.whole(2))
    total = graph.add("ReduceSum", graph.add("Mul", stream, heard), graph.whole(1), keepdims=0)
    count = graph.add("ReduceSum", "heard_weight", graph.whole(1), keepdims=1)
    return graph.add("Div", total, count)


def _heads(graph: _Graph, weights: Weights, mean: str) -> None:
    for name, size, end in (("labels", LABELS_COUNT, "Sigmoid"), ("axes", AXES_COUNT, "Clip")):
        table = graph.constant(f"{name}.weight", weights[f"{name}.weight"][:size])
        bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"][:size])
        value = graph.add("Gemm", mean, table, bias, transB=1)
        limits = (graph.constant("least", -1.0), graph.constant("one", 1.0))
        graph.add(end, value, *(limits if end == "Clip" else ()))
        graph.nodes[-1].output[0] = {"labels": "CHANCES", "axes": "VAD"}[name]


def quantized(values: Floats, *, axis: int, most: int = 127) -> tuple[NDArray[np.int8], Floats]:
    """Whole numbers of -most to most and their scales, one for each slice along the other axis.

    >>> whole, scale = quantized(np.array([[0.5, -1.0], [2.0, 0.0]], np.float32), axis=1)
    >>> whole.tolist()
    [[64, -127], [127, 0]]
    """
    scale = np.maximum(np.abs(values).max(axis, keepdims=True), 1e-8) / most
    whole = np.clip(np.rint(values / scale), -most, most).astype(np.int8)
    return whole, scale.astype(np.float32)


def _packaged(graph: _Graph, properties: Mapping[str, str]) -> onnx.ModelProto:
    made = helper.make_graph(
        graph.nodes,
        "emotion",
        [helper.make_tensor_value_info("PIECES", TensorProto.INT64, ["n", "t"])],
        list(_results()),
        list(graph.constants.values()),
    )
    model = helper.make_model(
        made,
        producer_name="freshet",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    return model


def _results() -> Iterator[onnx.ValueInfoProto]:
    for name, size in (("CHANCES", LABELS_COUNT), ("VAD", AXES_COUNT)):
        yield helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
