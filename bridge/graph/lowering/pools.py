"""Pools that TFLite or onnx2tf 2.6.9 does not have -> one Slice per position of the window, and their maximum or sum.

Dilations, three spatial axes, LpPool and the indices of MaxPool: onnx2tf stops with NotImplementedError, or writes CUSTOM:ONNX_LPPOOL and
CUSTOM:ONNX_MAXPOOL, which no runtime has; the file it writes for three spatial axes fails with "Input tensor 0 lacks data".
"""

import math

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.lowering.taps import Window
from bridge.graph.values import static_shape

_LOWEST = float(np.finfo(np.float32).min)


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX AveragePool-19, LpPool-18, MaxPool-12; X [N, C, *sizes]."""
    kernel = node.attributes.get_ints("kernel_shape", [])
    window = Window.of(node, kernel) if kernel else None
    indices = len(node.outputs) > 1 and (bool(node.outputs[1].uses()) or node.outputs[1].is_graph_output())
    dilated = any(step != 1 for step in node.attributes.get_ints("dilations", []))
    if window is None or not (dilated or indices or len(kernel) > 2 or node.op_type == "LpPool"):
        return None
    build = Builder(graph, str(node.name))
    if node.op_type == "AveragePool":
        return build.done(_average(build, node, window))
    if node.op_type == "LpPool":
        return build.done(_norm(build, node, window))
    if indices:
        return _maximum_with_indices(build, node, window)
    views = window.views(build, node.inputs[0], fill=_LOWEST)
    return build.done(_combined(build, "Max", views), *[None] * (len(node.outputs) - 1))


def _combined(build: Builder, op_type: str, values: list[ir.Value]) -> ir.Value:
    total = values[0]
    for value in values[1:]:
        total = build.op(op_type, total, value)
    return total if len(values) > 1 else build.op("Identity", total)


def _average(build: Builder, node: ir.Node, window: Window) -> ir.Value:
    """The sum times one over how many positions count: those inside the input, with `count_include_pad` those inside the padding too."""
    rank = len(window.sizes)
    ends = node.attributes.get_ints("pads", [0] * 2 * rank)[rank:]
    counts = np.ones(())
    for axis in range(rank):
        positions = window.positions(axis)
        low, high = 0, window.sizes[axis]
        if node.attributes.get_int("count_include_pad", 0):
            low, high = -window.begins[axis], high + ends[axis]
        counts = np.multiply.outer(counts, ((positions >= low) & (positions < high)).sum(axis=1))
    total = _combined(build, "Add", window.views(build, node.inputs[0], fill=0.0))
    return build.op("Mul", total, build.constant((1 / counts)[None, None].astype(np.float32)))


def _norm(build: Builder, node: ir.Node, window: Window) -> ir.Value:
    order = node.attributes.get_int("p", 2)
    powers = build.op("Abs", node.inputs[0]) if order == 1 else build.op("Mul", node.inputs[0], node.inputs[0])
    if order > 2:
        powers = build.op("Pow", build.op("Abs", node.inputs[0]), build.scalar(order))
    total = _combined(build, "Add", window.views(build, powers, fill=0.0))
    if order == 1:
        return total
    return build.op("Sqrt", total) if order == 2 else build.op("Pow", total, build.scalar(1 / order))


def _maximum_with_indices(build: Builder, node: ir.Node, window: Window) -> Replacement | None:
    """The first largest position, and its place in the flattened input (`storage_order` 1: in column-major order of the spatial axes)."""
    shape, written = static_shape(node.inputs[0]), static_shape(node.outputs[0])
    if shape is None or written is None:
        return None
    views = window.views(build, node.inputs[0], fill=_LOWEST)
    last = build.integers([len(written)])
    stacked = build.op("Concat", *(build.op("Unsqueeze", view, last) for view in views), attributes={"axis": len(written)})
    best = build.op("ArgMax", stacked, attributes={"axis": len(written), "keepdims": 1})
    table = build.constant(np.ascontiguousarray(np.broadcast_to(_places(node, window, shape), (*written, len(views)))))
    picked = build.op("GatherElements", table, best, attributes={"axis": len(written)})
    return build.done(_combined(build, "Max", views), build.op("Squeeze", picked, last))


def _places(node: ir.Node, window: Window, shape: tuple[int, ...]) -> np.ndarray:
    """[N, C, *out, taps] int64."""
    rank = len(window.sizes)
    steps = [math.prod(window.sizes[axis + 1 :]) for axis in range(rank)]
    if node.attributes.get_int("storage_order", 0):
        steps = [math.prod(window.sizes[:axis]) for axis in range(rank)]
    places: np.ndarray = np.zeros((*window.out, len(window.taps)), np.int64)
    for tap, position in enumerate(window.taps):
        for axis in range(rank):
            along = window.positions(axis)[:, position[axis]] * steps[axis]
            places[..., tap] += along.reshape([-1 if other == axis else 1 for other in range(rank)])
    planes = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1]) * math.prod(window.sizes)
    result: np.ndarray = planes.reshape(*planes.shape, *[1] * (rank + 1)) + places
    return result
