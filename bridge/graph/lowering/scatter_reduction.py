"""ScatterElements and ScatterND that combine what they write -> a comparison of every target with every index, and a reduction.

onnx2tf 2.6.9 writes CUSTOM:ONNX_SCATTERELEMENTS and CUSTOM:ONNX_SCATTERND, which no runtime has.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape

_MAX_PAIRS = 1 << 20  # a float each
_LIMIT = float(np.finfo(np.float32).max)
# reduction -> what takes part where nothing is written, reduction over the updates, combination with the data.
_REDUCTIONS = {
    "add": (0.0, "ReduceSum", "Add"),
    "mul": (1.0, "ReduceProd", "Mul"),
    "max": (-_LIMIT, "ReduceMax", "Max"),
    "min": (_LIMIT, "ReduceMin", "Min"),
}


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX ScatterElements-18, ScatterND-18."""
    data, indices, updates = (static_shape(value) for value in node.inputs)
    reduction = node.attributes.get_string("reduction", "none")
    if data is None or indices is None or updates is None or reduction not in _REDUCTIONS or node.inputs[0] is None:
        return None
    if node.inputs[0].dtype != ir.DataType.FLOAT or math.prod(data) * math.prod(updates) > _MAX_PAIRS:
        return None
    build = Builder(graph, str(node.name))
    targets = (_element_targets if node.op_type == "ScatterElements" else _slice_targets)(build, node, data, indices)
    nothing, reduce, combine = _REDUCTIONS[reduction]
    column = build.op("Reshape", targets, build.integers([-1, 1]))
    hit = build.op("Equal", column, build.constant(np.arange(math.prod(data), dtype=np.int32)[None]))
    written = build.op("Where", hit, build.op("Reshape", node.inputs[2], build.integers([-1, 1])), build.scalar(nothing))
    total = build.op(reduce, written, build.integers([0]), attributes={"keepdims": 0})
    return build.done(build.op(combine, node.inputs[0], build.op("Reshape", total, build.integers(data))))


def _steps(shape: Sequence[int]) -> list[int]:
    """Elements between neighbours along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _counted(build: Builder, indices: ir.Value | None, sizes: np.ndarray) -> ir.Value:
    """int32, from the start of the axis."""
    narrow = build.op("Cast", indices, attributes={"to": int(ir.DataType.INT32)})
    below = build.op("Cast", build.op("Less", narrow, build.constant(np.array([0], np.int32))), attributes={"to": int(ir.DataType.INT32)})
    return build.op("Add", narrow, build.op("Mul", below, build.constant(sizes.astype(np.int32))))


def _element_targets(build: Builder, node: ir.Node, data: Sequence[int], indices: Sequence[int]) -> ir.Value:
    """Place in the flattened data of every update."""
    axis = node.attributes.get_int("axis", 0) % len(data)
    steps = _steps(data)
    grid = np.indices(indices)
    others = sum((grid[other] * steps[other] for other in range(len(data)) if other != axis), np.zeros(indices, np.int64))
    along = build.op("Mul", _counted(build, node.inputs[1], np.array([data[axis]])), build.constant(np.array([steps[axis]], np.int32)))
    return build.op("Add", along, build.constant(others.astype(np.int32)))


def _slice_targets(build: Builder, node: ir.Node, data: Sequence[int], indices: Sequence[int]) -> ir.Value:
    depth = indices[-1]
    steps = build.constant(np.array(_steps(data)[:depth], np.int32))
    weighted = build.op("Mul", _counted(build, node.inputs[1], np.array(data[:depth])), steps)
    starts = build.op("Reshape", build.op("ReduceSum", weighted, build.integers([-1]), attributes={"keepdims": 1}), build.integers([-1, 1]))
    return build.op("Add", starts, build.constant(np.arange(math.prod(data[depth:]), dtype=np.int32)[None]))
