"""The emotion classifier as an ONNX file: tables of one byte a weight, and a small network.

WORDS [t, k] holds the rows of each word's parts, filled up with 0; PHRASES [m] those of phrases.
CHANCES [7] says of each label how likely it is, VAD [3] is -1 to 1. One text at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
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
LABELS_COUNT, AXES_COUNT = 7, 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """Logits of the labels from those of the parts: slopes [part, label] and offsets [label]."""

    slopes: Floats
    offsets: Floats


@dataclass(kw_only=True)
class _Graph:
    """Nodes and constants, in the order in which they are computed."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node, and name its output."""
        name = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, value: object, kind: type[np.generic] = np.float32) -> str:
        """Keep an array under its name, and answer that name."""
        self.constants[name] = numpy_helper.from_array(np.asarray(value, kind), name)
        return name

    def whole(self, *values: int) -> str:
        """Whole numbers, as shapes and axes are given."""
        return self.constant("whole_" + "_".join(map(str, values)), values, np.int64)

    def rows(self, name: str, table: Floats, numbers: str) -> str:
        """Rows of a table that is kept in bytes."""
        whole, scale = quantized(table)
        found = self.add("Gather", self.constant(name, whole, np.int8), numbers)
        scales = self.constant(f"{name}.scale", scale.astype(np.float16), np.float16)
        sizes = self.add("Cast", self.add("Gather", scales, numbers), to=TensorProto.FLOAT)
        return self.add("Mul", self.add("Cast", found, to=TensorProto.FLOAT), sizes)

    def total(self, values: str, *axes: int) -> str:
        """The sum over some axes."""
        return self.add("ReduceSum", values, self.whole(*axes), keepdims=0)


def emotion_model(
    counted: Weights,
    heard: Sequence[Weights],
    *,
    blend: Blend | None,
    properties: Mapping[str, str],
) -> onnx.ModelProto:
    """The graph of the parts' weights; without a blend LOGITS [part, 7] stand for the chances."""
    graph = _Graph()
    there = graph.add("Cast", graph.add("Greater", "WORDS", graph.whole(0)), to=TensorProto.FLOAT)
    logits = [_counted(graph, counted, there)]
    axes = []
    for at, weights in enumerate(heard):
        told = _heard(graph, weights, f"heard{at}.", there)
        logits.append(_part(graph, told, 0, LABELS_COUNT))
        axes.append(_part(graph, told, LABELS_COUNT, LABELS_COUNT + AXES_COUNT))
    lines = [graph.add("Unsqueeze", one, graph.whole(0)) for one in logits]
    _tell(graph, graph.add("Concat", *lines, axis=0), blend)
    mean = graph.add("Mean", *axes)
    graph.add(
        "Clip", mean, graph.constant("least", -1.0), graph.constant("most", 1.0), output="VAD"
    )
    return _packaged(graph, properties)


def _counted(graph: _Graph, weights: Weights, there: str) -> str:
    """Sums of all rows, by the root of their number."""
    words = graph.total(graph.rows("counted.words", weights["words.weight"], "WORDS"), 0, 1)
    phrases = graph.total(graph.rows("counted.phrases", weights["phrases.weight"], "PHRASES"), 0)
    sizes = graph.add("Cast", graph.add("Size", "PHRASES"), to=TensorProto.FLOAT)
    root = graph.add("Sqrt", graph.add("Add", graph.total(there, 0, 1), sizes))
    mean = graph.add("Div", graph.add("Add", words, phrases), root)
    return graph.add("Add", mean, graph.constant("counted.bias", weights["bias"]))


def _heard(graph: _Graph, weights: Weights, name: str, there: str) -> str:
    """Words in order, each with its neighbours, twice; then what stands out."""
    rows = graph.rows(f"{name}words", weights["words.weight"], "WORDS")
    root = graph.add("Unsqueeze", graph.add("Sqrt", graph.total(there, 1)), graph.whole(1))
    words = graph.add("Div", graph.total(rows, 1), root)
    line = graph.add("Unsqueeze", graph.add("Transpose", words), graph.whole(0))
    near = _convolved(graph, weights, f"{name}near", line)
    wide = _convolved(graph, weights, f"{name}wide", near)
    said = graph.add(
        "Concat",
        _attended(graph, weights, name, wide),
        *(graph.add("ReduceMax", one, axes=[2], keepdims=0) for one in (near, wide)),
        axis=1,
    )
    told = LABELS_COUNT + AXES_COUNT
    head = graph.constant(f"{name}head", weights["head.weight"][:told])
    bias = graph.constant(f"{name}head.bias", weights["head.bias"][:told])
    return graph.add("Squeeze", graph.add("Gemm", said, head, bias, transB=1), graph.whole(0))


def _convolved(graph: _Graph, weights: Weights, name: str, line: str) -> str:
    own = name.partition(".")[2]
    kernel = graph.constant(name, weights[f"{own}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{own}.bias"])
    return graph.add("Relu", graph.add("Conv", line, kernel, bias, pads=[1, 1]))


def _attended(graph: _Graph, weights: Weights, name: str, line: str) -> str:
    """A mean of the words, weighed by how much each matters."""
    asked = graph.constant(f"{name}asked", weights["asked.weight"])
    shares = graph.add("Softmax", graph.add("MatMul", asked, line), axis=-1)
    return graph.total(graph.add("Mul", line, shares), 2)


def _part(graph: _Graph, values: str, begin: int, end: int) -> str:
    return graph.add("Slice", values, graph.whole(begin), graph.whole(end))


def _tell(graph: _Graph, logits: str, blend: Blend | None) -> None:
    if blend is None:
        graph.add("Identity", logits, output="LOGITS")
        return
    weighed = graph.add("Mul", logits, graph.constant("blend.slopes", blend.slopes))
    offsets = graph.constant("blend.offsets", blend.offsets)
    graph.add("Sigmoid", graph.add("Add", graph.total(weighed, 0), offsets), output="CHANCES")


def quantized(values: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Whole numbers of -127 to 127, and a scale for each row.

    >>> whole, scale = quantized(np.array([[0.5, -1.0], [2.0, 0.0]], np.float32))
    >>> whole.tolist()
    [[64, -127], [127, 0]]
    """
    most = np.abs(values).max(1, keepdims=True)
    # The scale is stored in half precision, so weights are rounded by what it will be.
    scale = np.maximum(most / 127, 1e-6).astype(np.float16).astype(np.float32)
    return np.clip(np.rint(values / scale), -127, 127).astype(np.int8), scale


def _packaged(graph: _Graph, properties: Mapping[str, str]) -> onnx.ModelProto:
    made = helper.make_graph(
        graph.nodes,
        "emotion",
        [
            helper.make_tensor_value_info("WORDS", TensorProto.INT64, ["t", "k"]),
            helper.make_tensor_value_info("PHRASES", TensorProto.INT64, ["m"]),
        ],
        list(_results(graph)),
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


def _results(graph: _Graph) -> Iterator[onnx.ValueInfoProto]:
    shapes: dict[str, list[str | int | None]] = {
        "CHANCES": [LABELS_COUNT],
        "LOGITS": ["part", LABELS_COUNT],
        "VAD": [AXES_COUNT],
    }
    told = {name for node in graph.nodes for name in node.output}
    for name, shape in shapes.items():
        if name in told:
            yield helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
